"""Means over folds, order statistics, agreement and rank correlation: what a search is judged by.

Numbers enter, numbers leave; nothing here knows of searchers. Folds are resampled, not searches: seeds
of one fold share its speakers, so they are averaged before (cluster bootstrap, see `bootstrap`). Folds
share most of their training speakers, too, so the intervals are rough, and rather too narrow.

Shape legend: F folds, R resamples.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.stats import kendalltau

from mfas.evaluate.bootstrap import Interval, interval_of

RESAMPLES = 2000
FEWEST_FOLDS = 5  # that can show anything: fewer agree on a sign too often by chance (choice)
DIGITS = 12  # of a difference that mean something
Key = tuple[str, int]  # fold, seed


@dataclass(frozen=True)
class Estimate:
    """A mean over folds. ci95: its 95 % interval, None where there is one fold only."""

    mean: float
    ci95: Interval | None
    folds: int

    @property
    def decides(self) -> bool:
        """Whether there are folds enough for the interval to show anything."""
        return self.folds >= FEWEST_FOLDS

    @property
    def shown(self) -> bool:
        """Whether the interval leaves 0 out, and is to be believed."""
        return self.above(0) or (self.decides and self.ci95 is not None and self.ci95.high < 0)

    def above(self, bound: float) -> bool:
        """Whether the interval lies above `bound`, and is to be believed."""
        return self.decides and self.ci95 is not None and self.ci95.low > bound


def mean_over_folds(values: Iterable[tuple[Key, float | None]], seed: int = 0) -> Estimate | None:
    """The mean of each fold's mean over seeds; values that are None are left out. None without any."""
    by_fold: dict[str, list[float]] = defaultdict(list)
    for (fold, _), value in values:
        if value is not None:
            by_fold[fold].append(value)
    if not by_fold:
        return None
    means_F = np.array([np.mean(by_fold[fold]) for fold in sorted(by_fold)])
    interval = None
    if len(means_F) > 1:
        drawn_RF = np.random.default_rng(seed).integers(
            len(means_F), size=(RESAMPLES, len(means_F))
        )
        interval = interval_of(np.round(means_F[drawn_RF].mean(axis=1), DIGITS) + 0.0)
    return Estimate(float(np.round(means_F.mean(), DIGITS) + 0.0), interval, len(means_F))


def expected_best(scores: Sequence[float], tries: int) -> float:
    """The best score that `tries` different candidates drawn at random have, on average.

    The k-th smallest of n is the best of N drawn in C(k - 1, N - 1) of C(n, N) draws.
    """
    assert 1 <= tries <= len(scores), "candidates are drawn without putting them back"
    draws = comb(len(scores), tries)
    ordered = sorted(scores)
    return sum(score * comb(k, tries - 1) / draws for k, score in enumerate(ordered))


def agreement_rate(
    choices: Mapping[Key, str], together: Callable[[Key, Key], bool]
) -> float | None:
    """The share of pairs of searches that chose the same, of those that belong `together`."""
    pairs = [pair for pair in itertools.combinations(choices, 2) if together(*pair)]
    if not pairs:
        return None
    return sum(choices[one] == choices[other] for one, other in pairs) / len(pairs)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b: 1 for the same order, -1 for the reverse; None if one of them has no order."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return float(kendalltau(first, second).statistic)


def entropy(weights: Sequence[Sequence[float]]) -> float:
    """Mean entropy of rows that sum to 1, as a share of the entropy of equal weights: 1 to 0."""
    rows = np.asarray(weights, dtype=float)
    logs = np.log(np.where(rows > 0, rows, 1.0))
    return float(-(rows * logs).sum(axis=1).mean() / np.log(rows.shape[1]))
