"""What each search chose, beside every candidate trained standalone in the same fold with the same seed.

Searches enter (`report.run.Search`, as strategies.json holds them); `Pick`s leave. All scores are UA on the
inner-validation utterances, where strategies are chosen: they rank candidates, and report nothing. That
standalone training is the yardstick is from arXiv 1902.07638 and 1902.08142.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mfas.evaluate.search_statistics import Key, expected_best
from mfas.fusion import Strategy, distinct_candidates
from mfas.report.run import Search

CANDIDATES = tuple(str(candidate) for candidate in distinct_candidates())
NO_ADJUSTMENT = "last:zero"
STANDALONE = ("random", "exhaustive")  # methods that train candidates, and choose by their scores
Searches = Mapping[Key, Search]


def by_key(searches: Sequence[Search]) -> dict[Key, Search]:
    """Searches of one method by their fold and seed."""
    return {(search.fold, search.seed): search for search in searches}


def distinct_name(path: str) -> str:
    """The candidate that is the same function as `path`, both as "level:operation"."""
    return str(Strategy.parse(path).distinct)


@dataclass(frozen=True)
class Standalone:
    """One exhaustive search: the scores of all distinct candidates, and what a candidate cost."""

    scores: Mapping[str, float]
    seconds_each: float

    @classmethod
    def of(cls, exhaustive: Search) -> "Standalone":
        """What an exhaustive search found, without its twins."""
        scores = {name: exhaustive.scores[name] for name in CANDIDATES}
        return cls(scores, exhaustive.seconds / len(scores))

    @property
    def best(self) -> float:
        """The best score."""
        return max(self.scores.values())

    @property
    def mean(self) -> float:
        """The mean score: what one candidate picked at random has, on average."""
        return sum(self.scores.values()) / len(self.scores)

    @property
    def zero(self) -> float:
        """The score of zero, which computes nothing."""
        return self.scores[NO_ADJUSTMENT]

    def affordable(self, seconds: float) -> int:
        """How many candidates could be trained in the time: at least one, at most all."""
        paid = int(seconds / self.seconds_each + 1e-9) if self.seconds_each else len(self.scores)
        return min(max(1, paid), len(self.scores))


@dataclass(frozen=True)
class Pick:
    """The choice of one search; differences of UA in -1..1.

    strategy: as chosen; `distinct`: the candidate that is the same function. score: that candidate's,
    standalone. regret: the best candidate's minus it. over_mean, over_zero: it minus the mean
    candidate's, and minus zero's. affordable: standalone candidates that the search's seconds
    would have paid for; equal_cost: the best score that so many have on average, drawn at random;
    over_equal_cost, equal_cost_regret: beside it. elsewhere: over_mean where other seeds trained the
    candidates, which this choice has not seen; None with one.
    """

    fold: str
    seed: int
    strategy: str
    distinct: str
    score: float
    regret: float
    over_mean: float
    over_zero: float
    affordable: int
    equal_cost: float
    over_equal_cost: float
    equal_cost_regret: float
    elsewhere: float | None
    seconds: float

    @property
    def key(self) -> Key:
        """Fold and seed."""
        return self.fold, self.seed


def tried(search: Search) -> int:
    """How many distinct candidates a search scored."""
    return sum(name in search.scores for name in CANDIDATES)


def picks(
    searches: Searches, yardsticks: Mapping[Key, Standalone], unseen: bool = True
) -> tuple[Pick, ...]:
    """One pick a search, in the order of `searches`.

    `unseen` says whether another seed scores candidates afresh. In closed form it does not: the same
    utterances are left out, and operations without weights score the same.
    """
    return tuple(_pick(key, search, yardsticks, unseen) for key, search in searches.items())


def _pick(key: Key, search: Search, yardsticks: Mapping[Key, Standalone], unseen: bool) -> Pick:
    yardstick = yardsticks[key]
    distinct = distinct_name(str(search.strategy))
    score, affordable = yardstick.scores[distinct], _affordable(search, yardstick)
    equal_cost = expected_best(list(yardstick.scores.values()), affordable)
    fold, seed = key
    return Pick(
        fold=fold,
        seed=seed,
        strategy=str(search.strategy),
        distinct=distinct,
        score=score,
        regret=yardstick.best - score,
        over_mean=score - yardstick.mean,
        over_zero=score - yardstick.zero,
        affordable=affordable,
        equal_cost=equal_cost,
        over_equal_cost=score - equal_cost,
        equal_cost_regret=yardstick.best - equal_cost,
        elsewhere=_elsewhere(key, distinct, yardsticks) if unseen else None,
        seconds=search.seconds,
    )


def _affordable(search: Search, yardstick: Standalone) -> int:
    """Candidates for the same money: those that it trained, or as many as its seconds would have bought.

    Candidates are counted where there are any, since what one pools in closed form the next finds in
    the cache.
    """
    return tried(search) if search.method in STANDALONE else yardstick.affordable(search.seconds)


def _elsewhere(key: Key, distinct: str, yardsticks: Mapping[Key, Standalone]) -> float | None:
    """How far the candidate is before the average one in the scores of the fold's other seeds."""
    others = [found for (f, s), found in yardsticks.items() if f == key[0] and s != key[1]]
    leads = [found.scores[distinct] - found.mean for found in others]
    return sum(leads) / len(leads) if leads else None
