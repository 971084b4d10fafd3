"""Who is right where: predictions of the conflict corpus become accuracies by cell and kind of cell.

Predictions of run folders enter; shares with 95 % intervals and paired differences leave. Accuracy in
cells of a kind is the mean over its cells; UA over all utterances is that of the labels. Intervals
resample whole speakers, differences within each resample (`mfas.evaluate.paired`). Predictions of
several seeds stand one after the other, as `compare` wants them.

Shape legend: R resamples, G speakers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfas.corpora import RULES
from mfas.corpora.conflict import CELLS, KINDS, Cell
from mfas.evaluate.bootstrap import bootstrap_intervals, draw_speakers, interval_of
from mfas.evaluate.metrics import unweighted_accuracy
from mfas.evaluate.paired import compare
from mfas.storage import read_csv

ALL = "all, UA"
DIGITS = 9  # of a share that mean something


@dataclass(frozen=True)
class Heard:
    """A test utterance: where it stands in the grid, and what a run took it for."""

    file: str
    speaker: str
    cell: Cell
    label: str
    predicted: str


def read_heard(run: Path, cells: Mapping[str, Cell]) -> list[Heard]:
    """The predictions of a run folder; `cells` of its files."""
    return [
        Heard(row["file"], row["speaker"], cells[row["file"]], row["label"], row["predicted"])
        for row in read_csv(run / "predictions.csv")
    ]


def score_kinds(heard: Sequence[Heard], resamples: int) -> dict[str, dict[str, Any]]:
    """Accuracy in each kind of cell, and UA of all, each with its interval, in 0..1."""
    return {kind: _score(_of_kind(heard, kind), kind, resamples) for kind in (*KINDS, ALL)}


def score_cells(heard: Sequence[Heard], resamples: int) -> list[dict[str, Any]]:
    """Accuracy in each cell of the grid with its interval."""
    return [
        asdict(cell)
        | {"kind": cell.kind}
        | _score([one for one in heard if one.cell == cell], cell.kind, resamples)
        for cell in CELLS
    ]


def compare_kinds(
    heard: Sequence[Heard], other: Sequence[Heard], resamples: int
) -> dict[str, dict[str, Any]]:
    """`heard` minus `other` in each kind of cell, paired by utterance; both in one order."""
    assert [one.file for one in heard] == [one.file for one in other], "not the same utterances"
    return {kind: _compare(heard, other, kind, resamples) for kind in (*KINDS, ALL)}


def ideal_shares(rule: str, known: str) -> dict[str, float]:
    """Share of each kind that a perfect ear for one content alone ("words", "prosody") gets right.

    It answers with the likeliest label, classes weighted inversely to their frequency as in training,
    and guesses evenly between equals.
    """
    label = RULES[rule].label
    counts = Counter(map(label, CELLS))
    right: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for cell in CELLS:
        alike = [other for other in CELLS if getattr(other, known) == getattr(cell, known)]
        weights = {
            name: round(sum(1 / counts[name] for o in alike if label(o) == name), DIGITS)
            for name in counts
        }
        likeliest = [name for name, weight in weights.items() if weight == max(weights.values())]
        right[cell.kind].append((label(cell) in likeliest) / len(likeliest))
    return {kind: sum(shares) / len(shares) for kind, shares in right.items()}


def _of_kind(heard: Sequence[Heard], kind: str) -> list[Heard]:
    return [one for one in heard if kind in (ALL, one.cell.kind)]


def _score(heard: Sequence[Heard], kind: str, resamples: int) -> dict[str, Any]:
    if kind == ALL:
        true, predicted, speakers = _listed(heard)
        interval, _ = bootstrap_intervals(true, predicted, speakers, resamples)
        share = unweighted_accuracy(true, predicted)
    else:
        share, shares_R = _shares(heard, resamples)
        interval = interval_of(shares_R)
    return {"accuracy": share, "ci95": [interval.low, interval.high]}


def _compare(
    heard: Sequence[Heard], other: Sequence[Heard], kind: str, resamples: int
) -> dict[str, Any]:
    if kind == ALL:
        true, predicted, speakers = _listed(heard)
        found = compare(true, predicted, _listed(other)[1], speakers, resamples)
        difference, interval = found.difference, found.ci95
    else:
        first, first_R = _shares(_of_kind(heard, kind), resamples)
        second, second_R = _shares(_of_kind(other, kind), resamples)
        difference = round(first - second, DIGITS)
        interval = interval_of(np.round(first_R - second_R, DIGITS))
    return {
        "difference": difference,
        "ci95": [interval.low, interval.high],
        "shown": interval.low > 0 or interval.high < 0,
    }


def _listed(heard: Sequence[Heard]) -> tuple[list[str], list[str], list[str]]:
    """Labels, predictions and speakers."""
    return (
        [one.label for one in heard],
        [one.predicted for one in heard],
        [one.speaker for one in heard],
    )


def _shares(heard: Sequence[Heard], resamples: int) -> tuple[float, np.ndarray]:
    """The share that is right, in these utterances and in each resample of their speakers (R,).

    Every cell has equally many utterances of every speaker, so it is also the mean over cells.
    """
    groups, draws_RG = draw_speakers([one.speaker for one in heard], resamples, seed=0)
    right = [one.predicted == one.label for one in heard]
    names = sorted(set(groups))
    hits_G = np.array(
        [sum(hit for hit, g in zip(right, groups, strict=True) if g == name) for name in names]
    )
    counts_G = np.array([groups.count(name) for name in names])
    return sum(right) / len(right), draws_RG @ hits_G / (draws_RG @ counts_G)
