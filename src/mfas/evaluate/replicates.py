"""One recipe run with several seeds: run folders enter, scores over all of them leave.

Scores are means over the seeds. Their intervals, and comparisons of two recipes, resample whole speakers
(`bootstrap`, `paired`); a drawn speaker brings along what every seed said, so each resample's score is
the mean of the seeds' scores. That covers the choice of speakers; chance in training only as far as it is
averaged: the single seeds stand beside the mean.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mfas.errors import RunError
from mfas.evaluate.bootstrap import bootstrap_intervals
from mfas.evaluate.metrics import confusion, macro_f1, unweighted_accuracy, weighted_accuracy
from mfas.evaluate.paired import Comparison, compare
from mfas.storage import read_csv


@dataclass(frozen=True)
class Replicates:
    """The same utterances, sorted by name, predicted once a seed.

    predicted, folds: one tuple a seed, of classes and of the names of the folds that tested.
    """

    files: tuple[str, ...]
    speakers: tuple[str, ...]
    labels: tuple[str, ...]
    predicted: tuple[tuple[str, ...], ...]
    folds: tuple[tuple[str, ...], ...]

    def pooled(self, times: int | None = None) -> tuple[list[str], list[str], list[str]]:
        """True classes, predictions and speakers of `times` seeds one after the other."""
        times = times or len(self.predicted)
        predicted = [self.predicted[i % len(self.predicted)] for i in range(times)]
        every = [label for seed in predicted for label in seed]
        return [*self.labels] * times, every, [*self.speakers] * times


def read_replicates(folders: Sequence[Path]) -> Replicates:
    """The predictions of finished runs; raises `RunError` if they are not of the same utterances."""
    tables = [
        sorted(read_csv(folder / "predictions.csv"), key=lambda row: row["file"])
        for folder in folders
    ]

    def column(table: list[dict[str, str]], name: str) -> tuple[str, ...]:
        return tuple(row[name] for row in table)

    facts = [
        (column(table, "file"), column(table, "speaker"), column(table, "label"))
        for table in tables
    ]
    for folder, own in zip(folders, facts, strict=True):
        if own != facts[0]:
            raise RunError(
                f"{folder}: other utterances than {folders[0]}; run both on one manifest"
            )
    files, speakers, labels = facts[0]
    return Replicates(
        files,
        speakers,
        labels,
        predicted=tuple(column(table, "predicted") for table in tables),
        folds=tuple(column(table, "fold") for table in tables),
    )


def score_replicates(
    runs: Replicates, classes: Sequence[str], resamples: int = 2000
) -> dict[str, Any]:
    """Pooled scores with intervals, those of each seed, mean and deviation over folds, confusion.

    The confusion sums over seeds. Folds of all seeds count alike in `over_folds`; its deviation is the
    usual "mean +- deviation over folds" of papers, no interval.
    """
    true, predicted, speakers = runs.pooled()
    ua_ci95, wa_ci95 = bootstrap_intervals(true, predicted, speakers, resamples)
    return {
        "ua": unweighted_accuracy(true, predicted),
        "wa": weighted_accuracy(true, predicted),
        "macro_f1": float(np.mean([macro_f1(runs.labels, said) for said in runs.predicted])),
        "ua_ci95": [ua_ci95.low, ua_ci95.high],
        "wa_ci95": [wa_ci95.low, wa_ci95.high],
        "by_seed": [
            {
                "ua": unweighted_accuracy(runs.labels, said),
                "wa": weighted_accuracy(runs.labels, said),
            }
            for said in runs.predicted
        ],
        "over_folds": _over_folds(runs),
        "confusion": confusion(true, predicted, classes).tolist(),
    }


def compare_replicates(first: Replicates, second: Replicates) -> Comparison:
    """The paired comparison of two recipes, seed by seed; raises `RunError` for other utterances.

    With several seeds the p-value of `Comparison` means nothing (see `paired.compare`).
    """
    if (first.files, first.labels) != (second.files, second.labels):
        raise RunError("these runs predict other utterances; they cannot be compared in pairs")
    times = math.lcm(len(first.predicted), len(second.predicted))
    true, said, speakers = first.pooled(times)
    return compare(true, said, second.pooled(times)[1], speakers)


def other_weights(
    placed: Iterable[tuple[Hashable, Mapping[str, Any] | None]],
) -> list[Hashable]:
    """The places whose encoders have not the same weights in all runs.

    placed: a place, as "sec", with what result.json says of the encoder there, None if there is none.
    """
    fingerprints: dict[Hashable, set[str]] = {}
    for place, facts in placed:
        if facts is not None:
            fingerprints.setdefault(place, set()).add(facts["fingerprint"])
    return [place for place, found in fingerprints.items() if len(found) > 1]


def described(comparison: Comparison, names: tuple[str, str]) -> dict[str, Any]:
    """A comparison as tables hold it, with its sentence about `names`."""
    return asdict(comparison) | {
        "ci95": [comparison.ci95.low, comparison.ci95.high],
        "shown": comparison.shown,
        "names": list(names),
        "sentence": comparison.sentence(names),
    }


def _over_folds(runs: Replicates) -> dict[str, Any]:
    scores = []
    for said, folds in zip(runs.predicted, runs.folds, strict=True):
        for fold in dict.fromkeys(folds):
            own = [i for i, name in enumerate(folds) if name == fold]
            true, guessed = [runs.labels[i] for i in own], [said[i] for i in own]
            scores.append((unweighted_accuracy(true, guessed), weighted_accuracy(true, guessed)))
    means, deviations = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=len(scores) > 1)
    return {
        "folds": len(scores),
        "ua": [float(means[0]), float(deviations[0])],
        "wa": [float(means[1]), float(deviations[1])],
    }
