"""The field's scores are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from mfas.evaluate import macro_f1, unweighted_accuracy, weighted_accuracy
from mfas.evaluate.metrics import confusion

pairs = st.lists(st.tuples(*[st.sampled_from(["anger", "joy", "neutral"])] * 2), min_size=1)


@given(pairs)
def test_ua_and_wa_are_scikit_learns(labels):
    present = {label for label, _ in labels}
    assume(len(present) > 1)  # scikit-learn warns of one class alone, and of unknown predictions
    true = [label for label, _ in labels]
    predicted = [p if p in present else t for t, p in labels]
    assert weighted_accuracy(true, predicted) == pytest.approx(accuracy_score(true, predicted))
    assert unweighted_accuracy(true, predicted) == pytest.approx(
        balanced_accuracy_score(true, predicted)
    )
    assert macro_f1(true, predicted) == pytest.approx(
        f1_score(true, predicted, average="macro", zero_division=0)
    )


@given(pairs)
def test_scores_follow_from_the_confusion_matrix(labels):
    true, predicted = zip(*labels, strict=True)
    classes = ["neutral", "anger", "joy"]
    counts = confusion(true, predicted, classes)
    for row, label in enumerate(classes):
        assert counts[row].sum() == true.count(label)
        assert counts[:, row].sum() == predicted.count(label)
    present = counts.sum(axis=1) > 0
    recalls = np.diagonal(counts)[present] / counts.sum(axis=1)[present]
    assert unweighted_accuracy(true, predicted) == pytest.approx(recalls.mean())
    assert weighted_accuracy(true, predicted) == pytest.approx(np.trace(counts) / counts.sum())


def test_rows_are_true_classes_in_the_order_given():
    counts = confusion(["a", "a", "b"], ["b", "b", "b"], ["b", "a"])
    assert counts.tolist() == [[1, 0], [2, 0]]


def test_a_class_that_nobody_has_lowers_nothing_but_its_predictions_are_wrong():
    assert unweighted_accuracy(["a", "a", "b"], ["a", "c", "b"]) == pytest.approx(0.75)
    assert macro_f1(["a", "a", "b"], ["a", "c", "b"]) == pytest.approx((2 / 3 + 1) / 2)


def test_ua_is_not_wa_where_classes_are_unequal():
    true, predicted = ["a"] * 9 + ["b"], ["a"] * 10
    assert weighted_accuracy(true, predicted) == pytest.approx(0.9)
    assert unweighted_accuracy(true, predicted) == pytest.approx(0.5)
