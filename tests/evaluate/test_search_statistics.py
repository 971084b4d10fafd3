"""The numbers that judge a search, held against computations by hand."""

import itertools
import math

import pytest

from mfas.evaluate.search_statistics import (
    agreement_rate,
    entropy,
    expected_best,
    mean_over_folds,
    rank_correlation,
)


def test_the_expected_best_is_the_mean_over_all_draws():
    scores = [0.4, 0.9, 0.1, 0.5, 0.5, 0.7]
    for tries in range(1, 7):
        draws = [max(drawn) for drawn in itertools.combinations(scores, tries)]
        assert expected_best(scores, tries) == pytest.approx(sum(draws) / len(draws))
    assert expected_best(scores, 1) == pytest.approx(sum(scores) / 6)
    assert expected_best(scores, 6) == 0.9


def test_seeds_of_a_fold_are_averaged_before_folds():
    values = [(("a", 0), 1.0), (("a", 1), 3.0), (("a", 2), None), (("b", 0), 6.0)]
    found = mean_over_folds(values)
    assert found.mean == 4.0  # of 2 and 6, not of 1, 3 and 6
    assert found.folds == 2
    assert (found.ci95.low, found.ci95.high) == (
        2.0,
        6.0,
    )  # a quarter of the draws is all a or all b


def test_an_interval_needs_two_folds_and_a_mean_one_value():
    alone = mean_over_folds([(("a", 0), 1.0), (("a", 1), 2.0)])
    assert (alone.mean, alone.ci95, alone.shown) == (1.5, None, False)
    assert mean_over_folds([(("a", 0), None)]) is None


def test_a_difference_is_shown_when_its_interval_leaves_0_out():
    def shown(*values):
        return mean_over_folds(((str(i), 0), value) for i, value in enumerate(values)).shown

    assert shown(0.1, 0.2, 0.3, 0.1, 0.2)
    assert shown(-0.1, -0.2, -0.3, -0.1, -0.2)
    assert not shown(-0.1, 0.2, 0.3, -0.1, 0.2)
    assert not shown(0.0, 0.0, 0.0, 0.0, 0.0)
    assert not shown(0.1, 0.2, 0.3, 0.1)  # four folds agree too often by chance


def test_a_bound_is_passed_by_the_whole_interval():
    found = mean_over_folds(
        ((str(i), 0), value) for i, value in enumerate([0.6, 0.7, 0.8, 0.7, 0.6])
    )
    assert found.above(0.5)
    assert not found.above(found.mean)


def test_the_interval_of_many_folds_is_near_that_of_the_normal_law():
    values = [(i - 49.5) / 100 for i in range(100)]
    found = mean_over_folds(((str(i), 0), value) for i, value in enumerate(values))
    half = 1.96 * math.sqrt(sum(v * v for v in values) / 100) / math.sqrt(100)
    assert found.ci95.low == pytest.approx(-half, abs=0.008)
    assert found.ci95.high == pytest.approx(half, abs=0.008)


CHOICES = {("a", 0): "x", ("a", 1): "x", ("b", 0): "y", ("b", 1): "x"}


def test_agreement_counts_the_pairs_that_are_asked_for():
    assert agreement_rate(CHOICES, lambda one, other: True) == 3 / 6
    assert agreement_rate(CHOICES, lambda one, other: one[0] == other[0]) == 1 / 2
    assert agreement_rate(CHOICES, lambda one, other: one[1] == other[1]) == 1 / 2
    assert agreement_rate({("a", 0): "x"}, lambda one, other: True) is None


def test_kendalls_tau_by_hand():
    assert rank_correlation([1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2, 3, 4], [2, 1, 3, 4]) == pytest.approx(4 / 6)  # 5 pairs against 1
    # tau-b: 5 concordant, 0 discordant, one tie in the first of 6 pairs
    assert rank_correlation([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(5 / math.sqrt(5 * 6))
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None


def test_entropy_is_1_for_equal_weights_and_0_for_one():
    assert entropy([[1 / 8] * 8] * 3) == pytest.approx(1)
    assert entropy([[1.0] + [0.0] * 7] * 3) == 0
    half = [0.5, 0.5, *[0.0] * 6]
    assert entropy([half, [1 / 8] * 8]) == pytest.approx((math.log(2) / math.log(8) + 1) / 2)
