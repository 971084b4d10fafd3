"""Run folders enter; for each two of the same utterances, the answer to "which is better?" leaves."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from mfas.evaluate.paired import compare
from mfas.report import Pair, Run, incomparable, read_run, run_labels
from mfas.report.reading import is_search_run


def compare_runs(folders: Sequence[Path]) -> tuple[Pair, ...]:
    """Every pair of runs whose difference means something, as `mfas.report.incomparable` judges.

    Nothing, if a search alone is among them: it has no test scores. Raises `RunError` as `read_run`.
    """
    if any(is_search_run(folder) for folder in folders):
        return ()
    runs = [read_run(folder) for folder in folders]
    names = run_labels(runs)
    return tuple(
        _pair(runs, (first, second), (names[first], names[second]))
        for first, second in combinations(range(len(runs)), 2)
        if incomparable(runs[first], runs[second]) is None
    )


def _pair(runs: Sequence[Run], places: tuple[int, int], names: tuple[str, str]) -> Pair:
    first, second = (runs[place] for place in places)
    said = {row.file: row.predicted for row in second.predictions}
    rows = sorted(first.predictions, key=lambda row: row.file)
    comparison = compare(
        [row.label for row in rows],
        [row.predicted for row in rows],
        [said[row.file] for row in rows],
        [row.speaker for row in rows],
    )
    return Pair(
        *places,
        sentence=comparison.sentence(names),
        p_value=comparison.p_value,
        first_only=comparison.first_only,
        second_only=comparison.second_only,
    )
