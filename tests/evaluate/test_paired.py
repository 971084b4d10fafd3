"""Paired comparisons, against computations by hand."""

from math import comb

import numpy as np
import pytest

from mfas.evaluate import Interval, bootstrap_intervals, unweighted_accuracy
from mfas.evaluate.paired import Comparison, compare

SPEAKERS, EACH, CLASSES = 8, 30, "abc"


def corpus(*accuracies, seed=0):
    """True labels, speakers, and predictions that are right this often and otherwise guessed."""
    generator = np.random.default_rng(seed)
    true = [str(label) for label in generator.choice(list(CLASSES), SPEAKERS * EACH)]
    speakers = [f"s{number}" for number in range(SPEAKERS) for _ in range(EACH)]
    predictions = [
        [t if generator.random() < accuracy else str(generator.choice(list(CLASSES))) for t in true]
        for accuracy in accuracies
    ]
    return true, speakers, *predictions


def recall_mean(true, predicted):
    true, predicted = np.array(true), np.array(predicted)
    return np.mean([np.mean(predicted[true == label] == label) for label in sorted(set(true))])


def mirrored(comparison):
    return -comparison.difference, -comparison.ci95.high, -comparison.ci95.low


def test_the_interval_is_that_of_differences_within_resamples_of_whole_speakers():
    true, speakers, first, second = corpus(0.7, 0.5)
    rows = np.arange(SPEAKERS * EACH).reshape(SPEAKERS, EACH)
    drawn_RG = np.random.default_rng(3).multinomial(SPEAKERS, [1 / SPEAKERS] * SPEAKERS, size=200)
    differences = []
    for times_G in drawn_RG:
        chosen = np.repeat(rows, times_G, axis=0).ravel()
        labels = [true[i] for i in chosen]
        of_first = recall_mean(labels, [first[i] for i in chosen])
        differences.append(of_first - recall_mean(labels, [second[i] for i in chosen]))
    found = compare(true, first, second, speakers, resamples=200, seed=3)
    low, high = np.percentile(differences, [2.5, 97.5])
    assert (found.ci95.low, found.ci95.high) == pytest.approx((low, high))
    assert found.difference == pytest.approx(recall_mean(true, first) - recall_mean(true, second))


def test_mcnemar_is_a_fair_coin_on_the_utterances_that_one_alone_has_right():
    true = list("aaaaaaaaaabbbbb")
    first = list("aaaaaaaaabbbbbb")  # right but for one
    second = list("aabbbbbbbabbbbb")  # wrong in seven that the first has right
    found = compare(true, first, second, list("xyxyxyxyxyxyxyx"))
    assert (found.first_only, found.second_only) == (7, 1)
    by_hand = 2 * sum(comb(8, k) for k in range(2)) / 2**8
    assert found.p_value == pytest.approx(by_hand)


def test_equal_predictions_do_not_differ():
    true, speakers, first = corpus(0.6)
    assert compare(true, first, first, speakers) == Comparison(0.0, Interval(0.0, 0.0), 1.0, 0, 0)


def test_two_that_are_wrong_in_different_ways_do_not_differ():
    true, speakers, right = corpus(1.0)
    wrong = np.random.default_rng(1).random(len(true)) < 0.4
    first, second = (
        [other if w else r for w, r in zip(wrong, right, strict=True)] for other in ("x", "y")
    )
    found = compare(true, first, second, speakers)
    assert (found.difference, found.p_value, found.shown) == (0, 1, False)


def test_swapping_the_two_mirrors_the_answer():
    true, speakers, first, second = corpus(0.8, 0.6)
    one, other = compare(true, first, second, speakers), compare(true, second, first, speakers)
    assert mirrored(one) == pytest.approx((other.difference, other.ci95.low, other.ci95.high))
    assert one.p_value == other.p_value
    assert one.sentence(("A", "B")) == other.sentence(("B", "A"))


def test_perfect_beats_random():
    true, speakers, perfect, random = corpus(1.0, 0.0)
    found = compare(true, perfect, random, speakers)
    assert found.difference == pytest.approx(1 - recall_mean(true, random))
    assert 0.5 < found.ci95.low < found.difference < found.ci95.high < 0.85
    assert found.p_value < 1e-20
    assert found.second_only == 0


def test_pairing_finds_what_separate_intervals_hide():
    """Speakers that are easy or hard for both: the scores spread, their difference does not."""
    generator = np.random.default_rng(0)
    true, speakers, first, second = [], [], [], []
    for number, easy in enumerate(np.linspace(0.2, 0.9, 10)):
        for take in range(40):
            label = "ab"[take % 2]
            other, luck = "ba"["ab".index(label)], generator.random()
            true.append(label)
            speakers.append(f"s{number}")
            first.append(label if luck < easy + 0.1 else other)
            second.append(label if luck < easy else other)
    (one, _), (two, _) = (bootstrap_intervals(true, p, speakers) for p in (first, second))
    assert one.low < two.high
    assert compare(true, first, second, speakers).ci95.low > 0


def test_seeds_one_after_the_other_give_the_difference_of_mean_scores():
    true, speakers, a, b, c = corpus(0.7, 0.6, 0.5)
    found = compare(true * 2, a + b, c + c, speakers * 2)
    means = (recall_mean(true, a) + recall_mean(true, b)) / 2
    assert found.difference == pytest.approx(means - recall_mean(true, c))
    halves = [compare(true, one, c, speakers).difference for one in (a, b)]
    assert found.difference == pytest.approx(np.mean(halves))
    same = compare(true * 2, a + a, c + c, speakers * 2)
    once = compare(true, a, c, speakers)
    assert (same.difference, same.ci95) == (once.difference, once.ci95)


def test_with_one_speaker_utterances_are_resampled():
    true, _, first, second = corpus(0.9, 0.5)
    found = compare(true, first, second, ["alone"] * len(true))
    assert 0 < found.ci95.low < found.difference < found.ci95.high < 1


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        compare(["a", "b"], ["a", "b"], ["a"], ["x", "y"])


@pytest.mark.parametrize(
    ("difference", "low", "high", "sentence"),
    [
        (0.031, 0.01, 0.052, "A is better than B by 3.1 points of UA, 95 % interval [1.0, 5.2]"),
        (-0.031, -0.052, -0.01, "B is better than A by 3.1 points of UA, 95 % interval [1.0, 5.2]"),
        (
            0.004,
            -0.01,
            0.02,
            "no difference shown: A minus B is +0.4 points of UA, 95 % interval [-1.0, 2.0]",
        ),
    ],
)
def test_the_sentence_goes_by_the_interval(difference, low, high, sentence):
    assert Comparison(difference, Interval(low, high), 0.5, 1, 1).sentence(("A", "B")) == sentence


def test_the_difference_is_that_of_the_scores_of_the_reports():
    true, speakers, first, second = corpus(0.7, 0.4)
    scores = [unweighted_accuracy(true, predicted) for predicted in (first, second)]
    assert compare(true, first, second, speakers).difference == pytest.approx(scores[0] - scores[1])
