"""The field's scores: UA (unweighted accuracy, mean of per-class recalls) and WA (plain accuracy).

Labels enter, in any hashable form; fractions in 0..1 leave. scikit-learn computes them.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score


def unweighted_accuracy(true: Sequence[object], predicted: Sequence[object]) -> float:
    """Mean recall over the classes that occur in `true` (UA, macro recall, UAR)."""
    classes = sorted(set(true), key=str)
    return float(recall_score(true, predicted, labels=classes, average="macro", zero_division=0))


def weighted_accuracy(true: Sequence[object], predicted: Sequence[object]) -> float:
    """Share of correct predictions (WA, plain accuracy)."""
    return float(accuracy_score(true, predicted))


def macro_f1(true: Sequence[object], predicted: Sequence[object]) -> float:
    """Mean F1 over the classes that occur in `true`."""
    classes = sorted(set(true), key=str)
    return float(f1_score(true, predicted, labels=classes, average="macro", zero_division=0))


def confusion(
    true: Sequence[object], predicted: Sequence[object], classes: Sequence[object]
) -> np.ndarray:
    """Counts (classes, classes), rows = true class."""
    return confusion_matrix(true, predicted, labels=list(classes))
