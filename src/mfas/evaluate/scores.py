"""Rows of predictions.csv become the scores of result.json: the same code for runs and for verify."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mfas.evaluate.bootstrap import bootstrap_intervals
from mfas.evaluate.metrics import confusion, macro_f1, unweighted_accuracy, weighted_accuracy


@dataclass(frozen=True)
class Row:
    """One test utterance: what it is, and the probability the model gave each class."""

    fold: str
    file: str
    speaker: str
    label: str
    probabilities: dict[str, float]

    @property
    def predicted(self) -> str:
        """The most probable class; the first of equals."""
        return max(self.probabilities, key=self.probabilities.__getitem__)

    def to_csv(self) -> dict[str, object]:
        """The row as predictions.csv holds it."""
        return {
            "fold": self.fold,
            "file": self.file,
            "speaker": self.speaker,
            "label": self.label,
            "predicted": self.predicted,
            **{f"p_{name}": repr(p) for name, p in self.probabilities.items()},
        }


def score_rows(
    rows: Sequence[Row], classes: Sequence[str], resamples: int, seed: int
) -> dict[str, Any]:
    """Pooled scores over all test utterances, their intervals, each fold's, and the confusion.

    Pooled: UA is the mean of the class recalls over all test utterances together, not the mean of
    the folds' UAs (a fold may lack a class).
    """
    true = [row.label for row in rows]
    predicted = [row.predicted for row in rows]
    speakers = [row.speaker for row in rows]
    ua_interval, wa_interval = bootstrap_intervals(true, predicted, speakers, resamples, seed)
    return {
        "n_utterances": len(rows),
        "classes": list(classes),
        "ua": unweighted_accuracy(true, predicted),
        "wa": weighted_accuracy(true, predicted),
        "macro_f1": macro_f1(true, predicted),
        "ua_ci95": [ua_interval.low, ua_interval.high],
        "wa_ci95": [wa_interval.low, wa_interval.high],
        "folds": [_fold_scores(rows, fold) for fold in dict.fromkeys(row.fold for row in rows)],
        "confusion": confusion(true, predicted, classes).tolist(),
    }


def _fold_scores(rows: Sequence[Row], fold: str) -> dict[str, Any]:
    true = [row.label for row in rows if row.fold == fold]
    predicted = [row.predicted for row in rows if row.fold == fold]
    return {
        "fold": fold,
        "n": len(true),
        "ua": unweighted_accuracy(true, predicted),
        "wa": weighted_accuracy(true, predicted),
    }
