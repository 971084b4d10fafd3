"""Intervals resample whole speakers, because one speaker's utterances resemble each other."""

import numpy as np
import pytest

from mfas.evaluate import bootstrap_intervals, unweighted_accuracy, weighted_accuracy


def corpus(accuracies, each=40):
    """True and predicted labels, and speakers; each speaker is predicted with an own accuracy."""
    generator = np.random.default_rng(0)
    true, predicted, speakers = [], [], []
    for number, accuracy in enumerate(accuracies):
        for take in range(each):
            label = "ab"[take % 2]
            right = generator.random() < accuracy
            true.append(label)
            predicted.append(label if right else "ba"["ab".index(label)])
            speakers.append(f"s{number}")
    return true, predicted, speakers


def width(interval):
    return interval.high - interval.low


def test_the_same_seed_gives_the_same_intervals():
    rows = corpus(np.linspace(0.3, 0.9, 20))
    assert bootstrap_intervals(*rows, seed=1) == bootstrap_intervals(*rows, seed=1)
    assert bootstrap_intervals(*rows, seed=1) != bootstrap_intervals(*rows, seed=2)


@pytest.mark.parametrize("accuracies", [[0.6] * 8, [0.3, 0.5, 0.7, 0.9], [0.2, 0.9]])
def test_the_score_lies_in_its_interval(accuracies):
    true, predicted, speakers = corpus(accuracies)
    ua, wa = bootstrap_intervals(true, predicted, speakers)
    assert 0 <= ua.low <= unweighted_accuracy(true, predicted) <= ua.high <= 1
    assert 0 <= wa.low <= weighted_accuracy(true, predicted) <= wa.high <= 1


def test_the_order_of_the_rows_does_not_matter():
    rows = list(zip(*corpus([0.4, 0.6, 0.8]), strict=True))
    backwards = zip(*rows[::-1], strict=True)
    assert bootstrap_intervals(*zip(*rows, strict=True)) == bootstrap_intervals(*backwards)


def test_speakers_that_differ_widen_the_interval_beyond_that_of_utterances():
    true, predicted, speakers = corpus([0.2, 0.4, 0.6, 0.8, 1.0])
    clustered, _ = bootstrap_intervals(true, predicted, speakers)
    as_if_independent = [str(i) for i in range(len(true))]
    unclustered, _ = bootstrap_intervals(true, predicted, as_if_independent)
    assert width(clustered) > 2 * width(unclustered)


def test_speakers_that_do_not_differ_leave_it_narrow():
    different = corpus([0.2, 0.5, 0.8])
    alike = corpus([0.5, 0.5, 0.5])
    assert width(bootstrap_intervals(*alike)[0]) < width(bootstrap_intervals(*different)[0])


def test_with_one_speaker_utterances_are_resampled():
    true, predicted, speakers = corpus([0.7])
    ua, wa = bootstrap_intervals(true, predicted, speakers)
    assert wa.low < weighted_accuracy(true, predicted) < wa.high
    assert width(ua) < 0.5


def test_a_class_that_one_speaker_alone_has_may_miss_in_a_resample():
    true = ["a", "a", "b", "b", "c", "c"]
    predicted = ["a", "a", "b", "a", "c", "c"]
    ua, _ = bootstrap_intervals(true, predicted, ["x", "x", "y", "y", "z", "z"])
    assert np.isfinite([ua.low, ua.high]).all()
    assert 0 <= ua.low < ua.high <= 1


def test_perfect_predictions_have_no_spread():
    labels = ["a", "b"] * 4
    ua, wa = bootstrap_intervals(labels, labels, list("wxyzwxyz"))
    assert (ua.low, ua.high, wa.low, wa.high) == (1, 1, 1, 1)
