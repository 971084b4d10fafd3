"""How much of the candidates' differences is noise, and whether a search collapsed.

Exhaustive searches, and the searches of one method, enter; a noise floor and a `Collapse` leave. A
difference of standalone scores below the floor says nothing of the operations. A collapse is what DARTS
is known for (arXiv 1909.09656, 1911.12126): operations without parameters take over, because they need
no training.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from mfas.config.experiment import SUPERNETS
from mfas.evaluate.search_picks import CANDIDATES, Searches
from mfas.evaluate.search_statistics import Estimate, mean_over_folds
from mfas.fusion.strategy import LEVELS, OPERATION_NAMES
from mfas.report.run import Search
from mfas.report.scores import noise_sd

PARAMETER_FREE = ("zero", "sum", "attention", "attention_r")
SURE = 0.05  # of a one-sided binomial test that warns


@dataclass(frozen=True)
class NoiseFloor:
    """Standard deviations of standalone UA.

    twins: between two trainings of one function (concat_fc and concat_fc_r); None if they were not
    trained. twin_pairs: how many pairs. seeds: of a candidate over seeds of a fold, after each seed's
    mean candidate was taken off; None with one seed. candidates: between the candidates of a fold and
    seed.
    """

    twins: float | None
    twin_pairs: int
    seeds: float | None
    candidates: float


def noise_floor(exhaustive: Searches) -> NoiseFloor:
    """What exhaustive searches, with twins or without, say of noise."""
    pairs = sum(f"{level}:concat_fc_r" in s.scores for s in exhaustive.values() for level in LEVELS)
    tables = {key: np.array([s.scores[c] for c in CANDIDATES]) for key, s in exhaustive.items()}
    by_fold: dict[str, list[np.ndarray]] = defaultdict(list)
    for (fold, _), scores in tables.items():
        by_fold[fold].append(scores - scores.mean())
    repeated = [
        np.var(np.stack(rows), axis=0, ddof=1) for rows in by_fold.values() if len(rows) > 1
    ]
    return NoiseFloor(
        twins=noise_sd(list(exhaustive.values())),
        twin_pairs=pairs,
        seeds=float(np.sqrt(np.mean(repeated))) if repeated else None,
        candidates=float(np.sqrt(np.mean([scores.var(ddof=1) for scores in tables.values()]))),
    )


@dataclass(frozen=True)
class Collapse:
    """How often choices need no parameters.

    zero, parameter_free: of `searches` choices. expected: the share that choices at random would have.
    p_value: of at least so many, if they were. weight: mean share of the mixture's weight on operations
    without parameters, which equal weights put at `equal_weight`; None without alpha.
    """

    searches: int
    zero: int
    parameter_free: int
    expected: float
    p_value: float
    weight: Estimate | None
    equal_weight: float = len(PARAMETER_FREE) / len(OPERATION_NAMES)

    @property
    def choices_collapse(self) -> bool:
        """Whether more choices need no parameters than chance explains."""
        return self.p_value < SURE

    @property
    def weights_collapse(self) -> bool:
        """Whether the weights moved to operations without parameters, by the interval."""
        return self.weight is not None and self.weight.above(self.equal_weight)


def collapse(searches: Searches) -> Collapse:
    """Look for a collapse in the searches of one method."""
    chosen = [search.strategy.operation for search in searches.values() if search.strategy]
    free = sum(operation in PARAMETER_FREE for operation in chosen)
    method = next(iter(searches.values())).method
    expected = _expected_share(method)
    tested = binomtest(free, len(chosen), expected, alternative="greater")
    weights = ((key, _free_weight(search)) for key, search in searches.items())
    return Collapse(
        searches=len(chosen),
        zero=chosen.count("zero"),
        parameter_free=free,
        expected=expected,
        p_value=float(tested.pvalue),
        weight=mean_over_folds(weights),
    )


def _expected_share(method: str) -> float:
    """Parameter-free ones among what the method chooses from: all 24 paths, or the 19 distinct ones."""
    if method in SUPERNETS and method != "single_path":
        return len(PARAMETER_FREE) / len(OPERATION_NAMES)
    return sum(name.split(":")[1] in PARAMETER_FREE for name in CANDIDATES) / len(CANDIDATES)


def _free_weight(search: Search) -> float | None:
    if search.weights is None:
        return None
    free = [search.operations.index(name) for name in PARAMETER_FREE]
    return sum(row[i] for row in search.weights for i in free) / len(search.weights)
