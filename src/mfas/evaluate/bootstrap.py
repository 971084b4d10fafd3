"""Intervals that respect that one speaker's utterances resemble each other.

Whole speakers are resampled with replacement (cluster bootstrap, Field & Welsh 2007), because the
question is how the score would vary over other speakers. With few speakers (SAVEE has 4) such an
interval is itself rough; it is still the honest one.

Shape legend: G speakers, K classes, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfas.evaluate.metrics import confusion


@dataclass(frozen=True)
class Interval:
    """A 95 % percentile interval of a score in 0..1, or of the difference of two."""

    low: float
    high: float


def bootstrap_intervals(
    true: Sequence[str],
    predicted: Sequence[str],
    speakers: Sequence[str],
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Interval, Interval]:
    """95 % intervals of UA and WA, speakers resampled; utterances if there is one speaker only.

    A resample without any utterance of a class averages recall over the classes it has.
    """
    groups, draws_RG = draw_speakers(speakers, resamples, seed)
    totals_RKK = resampled_confusions(true, predicted, groups, draws_RG)
    return interval_of(resampled_ua(totals_RKK)), interval_of(_wa(totals_RKK))


def draw_speakers(
    speakers: Sequence[str], resamples: int, seed: int
) -> tuple[list[str], np.ndarray]:
    """The group of each utterance, and how often each resample holds each group, sorted: (R, G).

    A group is a speaker; an utterance, if there is one speaker only. The same arguments give the same
    draws, whatever was predicted, so that predictions can be compared in pairs. Raises `ValueError`
    without utterances.
    """
    if not speakers:
        raise ValueError("no utterances to resample")
    several = len(set(speakers)) > 1
    groups = list(speakers) if several else [str(i) for i in range(len(speakers))]
    count = len(set(groups))
    draws_RG = np.random.default_rng(seed).multinomial(
        count, np.full(count, 1 / count), size=resamples
    )
    return groups, draws_RG


def resampled_confusions(
    true: Sequence[str], predicted: Sequence[str], groups: Sequence[str], draws_RG: np.ndarray
) -> np.ndarray:
    """Counts of each resample (R, K, K), rows = true class; groups and draws as `draw_speakers` gives."""
    classes = sorted(set(true) | set(predicted))
    confusions_GKK = np.stack(
        [
            confusion(
                [t for t, g in zip(true, groups, strict=True) if g == name],
                [p for p, g in zip(predicted, groups, strict=True) if g == name],
                classes,
            )
            for name in sorted(set(groups))
        ]
    )
    return np.einsum("rg,gkl->rkl", draws_RG, confusions_GKK)


def resampled_ua(totals_RKK: np.ndarray) -> np.ndarray:
    """UA of each resample (R,), over the classes that it has."""
    support_RK = totals_RKK.sum(axis=2)
    hits_RK = np.diagonal(totals_RKK, axis1=1, axis2=2)
    recalls_RK = hits_RK / np.maximum(support_RK, 1)
    present_RK = support_RK > 0
    return (recalls_RK * present_RK).sum(axis=1) / present_RK.sum(axis=1)


def _wa(totals_RKK: np.ndarray) -> np.ndarray:
    return np.trace(totals_RKK, axis1=1, axis2=2) / totals_RKK.sum(axis=(1, 2))


def interval_of(scores_R: np.ndarray) -> Interval:
    """From the 2.5th to the 97.5th percentile of the scores of all resamples."""
    low, high = np.percentile(scores_R, [2.5, 97.5])
    return Interval(float(low), float(high))
