"""Is one system better than another? Two predictions of the same utterances enter, an answer leaves.

The answer is about UA over other speakers: whole speakers are resampled with replacement, the same for
both predictions, and the difference is taken within each resample (paired cluster bootstrap; see
`bootstrap`). What both find hard in a speaker cancels, so the interval is narrower than those of the
two scores suggest.

McNemar's exact test stands beside it for comparison with the literature. It asks about WA, and takes
utterances for independent of each other, which those of one speaker are not: it sees differences too
easily, and `sentence` does not use it.

Shape legend: R resamples, G speakers, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from mfas.evaluate.bootstrap import (
    Interval,
    draw_speakers,
    interval_of,
    resampled_confusions,
    resampled_ua,
)
from mfas.evaluate.metrics import unweighted_accuracy

DIGITS = 12  # of a difference that mean something


@dataclass(frozen=True)
class Comparison:
    """The first system beside the second.

    difference: UA of the first minus UA of the second, -1..1. ci95: of the difference. p_value: of
    McNemar's exact test, two-sided. first_only, second_only: utterances that one of them alone has right.
    """

    difference: float
    ci95: Interval
    p_value: float
    first_only: int
    second_only: int

    @property
    def shown(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.ci95.low > 0 or self.ci95.high < 0

    def sentence(self, names: tuple[str, str]) -> str:
        """The answer in words, by the interval; `names` of the first and the second, in points of UA."""
        difference, low, high = self.difference, self.ci95.low, self.ci95.high
        better, worse = names
        if not self.shown:
            points = round(100 * difference, 1) + 0.0  # and not -0.0
            said = f"no difference shown: {better} minus {worse} is {points:+.1f}"
        else:
            if high < 0:
                better, worse = worse, better
                difference, low, high = -difference, -high, -low
            said = f"{better} is better than {worse} by {100 * difference:.1f}"
        return f"{said} points of UA, 95 % interval [{100 * low:.1f}, {100 * high:.1f}]"


def compare(
    true: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    speakers: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """What `first` and `second` predicted for the same utterances, held against each other.

    Predictions of several seeds are compared one after the other in the same lists (every list as
    many times as there are seeds): the difference is then that of the mean UAs, in every resample too,
    for a drawn speaker brings along what every seed said. `p_value` means nothing then: it would take
    the seeds for more utterances. Utterances are resampled if there is one speaker only, as in
    `bootstrap_intervals`. Raises ValueError if the lists are not equally long.
    """
    groups, draws_RG = draw_speakers(speakers, resamples, seed)
    first_R, second_R = (
        resampled_ua(resampled_confusions(true, predicted, groups, draws_RG))
        for predicted in (first, second)
    )
    rows = list(zip(true, first, second, strict=True))
    first_only = sum(f == t != s for t, f, s in rows)
    second_only = sum(s == t != f for t, f, s in rows)
    return Comparison(
        difference=float(
            _without_noise(unweighted_accuracy(true, first) - unweighted_accuracy(true, second))
        ),
        ci95=interval_of(_without_noise(first_R - second_R)),
        p_value=_mcnemar(first_only, second_only),
        first_only=first_only,
        second_only=second_only,
    )


def _without_noise(differences: float | np.ndarray) -> np.ndarray:
    """What rounding errors of a sum of recalls left of 0 is 0."""
    return np.round(differences, DIGITS) + 0.0  # and not -0.0


def _mcnemar(first_only: int, second_only: int) -> float:
    """Two-sided p-value of a fair coin that decides who of the two is right; 1 if it is never thrown."""
    thrown = first_only + second_only
    return float(binomtest(first_only, thrown, 0.5).pvalue) if thrown else 1.0
