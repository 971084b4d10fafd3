"""Whether searching was worth it: searches of several methods become the facts of evidence.json.

For each method: how far its choices are behind the best candidate and before the average one, no
adjustment and as much random search as its time would have bought; whether its searches agree; whether
what it ranks paths by orders them as standalone training does; what it cost. Scores are
inner-validation UA (see `search_picks`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mfas.config.experiment import SUPERNETS
from mfas.evaluate.search_noise import Collapse, collapse, noise_floor
from mfas.evaluate.search_picks import (
    CANDIDATES,
    STANDALONE,
    Pick,
    Searches,
    Standalone,
    by_key,
    distinct_name,
    picks,
    tried,
)
from mfas.evaluate.search_statistics import (
    Estimate,
    Key,
    agreement_rate,
    entropy,
    mean_over_folds,
    rank_correlation,
)
from mfas.report.run import Search

YARDSTICK = "exhaustive"


@dataclass(frozen=True)
class Agreement:
    """Share of pairs of searches that chose the same function; None where there are no such pairs.

    overall: all pairs. seeds: pairs of one fold. folds: pairs of one seed. chance: what choices at
    random would have.
    """

    overall: float | None
    seeds: float | None
    folds: float | None
    chance: float


@dataclass(frozen=True)
class MethodEvidence:
    """One method over all folds and seeds; estimates as the fields of `Pick` that they are the means of.

    seconds: mean of a search. cost: that of all searches as a share of exhaustive search. paths_tau,
    weights_tau: Kendall's tau of the supernet's path scores, and of alpha's weights within a level,
    with standalone scores. entropy: of alpha's weights after each epoch, a mean over searches.
    """

    label: str
    method: str
    searches: int
    estimates: dict[str, Estimate | None]
    affordable: float
    seconds: float
    cost: float
    agreement: Agreement
    votes: list[tuple[str, int]]
    paths_tau: Estimate | None
    weights_tau: Estimate | None
    entropy: list[float]
    collapse: Collapse


ESTIMATES = (
    "score",
    "regret",
    "over_mean",
    "over_zero",
    "equal_cost",
    "over_equal_cost",
    "equal_cost_regret",
    "elsewhere",
)


def weigh_methods(
    searches: Mapping[str, Sequence[Search]], unseen: bool = True
) -> tuple[list[MethodEvidence], dict[str, tuple[Pick, ...]]]:
    """The evidence of each method, and its picks, by label; `searches` must hold `YARDSTICK`.

    `unseen`: as for `picks`.
    """
    exhaustive = by_key(searches[YARDSTICK])
    yardsticks = {key: Standalone.of(search) for key, search in exhaustive.items()}
    found, picked = [], {}
    for label, members in searches.items():
        own = by_key(members)
        picked[label] = picks(own, yardsticks, unseen)
        found.append(_method(label, own, picked[label], exhaustive))
    return found, picked


def _method(
    label: str, searches: Searches, picked: Sequence[Pick], exhaustive: Searches
) -> MethodEvidence:
    members = list(searches.values())
    seconds = sum(search.seconds for search in members)
    choices = {pick.key: pick.distinct for pick in picked}
    return MethodEvidence(
        label=label,
        method=members[0].method,
        searches=len(members),
        estimates={
            name: mean_over_folds((pick.key, getattr(pick, name)) for pick in picked)
            for name in ESTIMATES
        },
        affordable=float(np.mean([pick.affordable for pick in picked])),
        seconds=seconds / len(members),
        cost=_cost(searches, exhaustive),
        agreement=_agreement(choices),
        votes=Counter(choices.values()).most_common(),
        paths_tau=mean_over_folds(_path_taus(searches, exhaustive)),
        weights_tau=mean_over_folds(_weight_taus(searches, exhaustive)),
        entropy=_entropies(members),
        collapse=collapse(searches),
    )


def _cost(searches: Searches, exhaustive: Searches) -> float:
    """The share of exhaustive search's candidates, or of its time where no candidates are trained."""
    if next(iter(searches.values())).method in STANDALONE:
        return float(np.mean([tried(search) for search in searches.values()])) / len(CANDIDATES)
    whole = sum(exhaustive[key].seconds for key in searches)
    return sum(search.seconds for search in searches.values()) / whole if whole else 1.0


def _agreement(choices: Mapping[Key, str]) -> Agreement:
    return Agreement(
        overall=agreement_rate(choices, lambda one, other: True),
        seeds=agreement_rate(choices, lambda one, other: one[0] == other[0]),
        folds=agreement_rate(choices, lambda one, other: one[1] == other[1]),
        chance=1 / len(CANDIDATES),
    )


def _path_taus(searches: Searches, exhaustive: Searches) -> Iterator[tuple[Key, float | None]]:
    """One tau a search: path scores of the supernet against standalone ones, over the distinct candidates."""
    for key, search in searches.items():
        if search.method in SUPERNETS:
            standalone = [exhaustive[key].scores[name] for name in CANDIDATES]
            yield key, rank_correlation([search.scores[name] for name in CANDIDATES], standalone)


def _weight_taus(searches: Searches, exhaustive: Searches) -> Iterator[tuple[Key, float | None]]:
    """A tau for each level of a search, since weights of different levels do not compete."""
    for key, search in searches.items():
        scores = exhaustive[key].scores
        for level, row in zip(search.levels, search.weights or (), strict=bool(search.weights)):
            paths = [f"{level}:{operation}" for operation in search.operations]
            standalone = [scores.get(path, scores[distinct_name(path)]) for path in paths]
            yield key, rank_correlation(row, standalone)


def _entropies(searches: Sequence[Search]) -> list[float]:
    """Mean entropy after each epoch, of the searches that weigh operations."""
    rows = [[entropy(weights) for weights in search.trajectory] for search in searches]
    if not rows or not rows[0]:
        return []
    return [float(np.mean(epoch)) for epoch in zip(*rows, strict=True)]


@dataclass(frozen=True)
class CandidateMeans:
    """A candidate trained standalone: its score, and how far it is before the average candidate."""

    candidate: str
    score: Estimate
    over_mean: Estimate


def candidate_means(exhaustive: Searches) -> list[CandidateMeans]:
    """Every distinct candidate, best mean first."""
    rows = [_candidate(name, exhaustive) for name in CANDIDATES]
    return sorted(rows, key=lambda row: (-row.score.mean, row.candidate))


def _candidate(name: str, exhaustive: Searches) -> CandidateMeans:
    scores = {key: search.scores[name] for key, search in exhaustive.items()}
    means = {key: Standalone.of(search).mean for key, search in exhaustive.items()}
    score = mean_over_folds(scores.items())
    over_mean = mean_over_folds((key, found - means[key]) for key, found in scores.items())
    assert score is not None and over_mean is not None, "there is a fold at least"
    return CandidateMeans(name, score, over_mean)


def evidence(
    methods: Sequence[MethodEvidence],
    picked: Mapping[str, Sequence[Pick]],
    exhaustive: Searches,
) -> dict[str, Any]:
    """What `weigh_methods` found, as evidence.json holds it: plain dicts and lists."""
    return {
        "methods": [asdict(method) for method in methods],
        "picks": [
            {"label": label, **asdict(pick)} for label, found in picked.items() for pick in found
        ],
        "candidates": [asdict(row) for row in candidate_means(exhaustive)],
        "noise": asdict(noise_floor(exhaustive)),
    }
