"""What stands side by side on a page of several runs: who may be compared, and what each chose.

Runs enter; names, reasons and counts leave. The answers to "which is better?" come from
`mfas.evaluate.side_by_side`, which this room does not know; `Pair` is how they arrive.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mfas.report import wording
from mfas.report.run import Run

_MOST_FOLDERS = 3  # in the name of a run


@dataclass(frozen=True)
class Pair:
    """Two runs on the same utterances, by their positions in the list of runs.

    sentence: the answer of the paired test over speakers. p_value: of McNemar's exact test, over
    utterances. first_only, second_only: utterances that one of the two alone has right.
    """

    first: int
    second: int
    sentence: str
    p_value: float
    first_only: int
    second_only: int


@dataclass(frozen=True)
class Chosen:
    """How many folds of a run chose each path: counts are levels x operations.

    unadjusted: folds with no adjustment. folds: the strategy of each, by its name. The counts are
    empty where no fold knew levels and operations.
    """

    levels: tuple[str, ...]
    operations: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    unadjusted: int
    folds: dict[str, str]


def run_labels(runs: Sequence[Run]) -> tuple[str, ...]:
    """What to call each run among the others: its name, with as much of its folder as tells it apart."""
    names = [run.result.name for run in runs]
    for depth in range(1, _MOST_FOLDERS + 1):
        placed = [
            name if names.count(name) == 1 else f"{name} ({_end(run.folder, depth)})"
            for name, run in zip(names, runs, strict=True)
        ]
        if len(set(placed)) == len(placed):
            return tuple(placed)
    return tuple(f"{name} (run {number})" for number, name in enumerate(names, start=1))


def _end(folder: Path, depth: int) -> str:
    return "/".join(folder.resolve().parts[-depth:])


def incomparable(one: Run, other: Run) -> str | None:
    """Why a difference between two runs would mean nothing; None if it means something."""
    if one.result.manifest_sha256 != other.result.manifest_sha256 or _spoken(one) != _spoken(other):
        return "not compared: they were not scored on the same utterances"
    if wording.stamp(one).honest != wording.stamp(other).honest:
        return "not compared: one is honest, the other optimistic"
    if one.result.condition != other.result.condition:
        return "not compared: one is plain, the other adapted to each speaker"
    return None


def _spoken(run: Run) -> set[tuple[str, str, str]]:
    return {(row.file, row.speaker, row.label) for row in run.predictions}


def chosen(run: Run) -> Chosen:
    """What the folds of `run` chose."""
    strategies = {fold.fold: fold.strategy for fold in run.result.folds}
    counts: Counter[tuple[str, str]] = Counter(
        (found.level, found.operation) for found in strategies.values() if found is not None
    )
    spaces = [search for search in run.searches if search.levels and search.operations]
    levels = spaces[0].levels if spaces else ()
    operations = spaces[0].operations if spaces else ()
    return Chosen(
        levels,
        operations,
        tuple(tuple(counts[level, name] for name in operations) for level in levels),
        unadjusted=sum(found is None for found in strategies.values()),
        folds={fold: str(found or "no adjustment") for fold, found in strategies.items()},
    )
