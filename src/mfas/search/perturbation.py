"""What a mixture misses most: perturbation-based selection (DARTS-PT, arXiv 2108.04392).

The mixture is trained as in `darts`. Then, instead of looking at alpha, each operation of a level is
taken out of that level's mixture, the weights of the others left as they are, and the mixture is scored
on the inner-validation utterances; the operation without which it scores worst is the level's (by UA,
then by loss). The level is the one whose operation's one-hot path scores best there, as in `darts`.

DARTS-PT trains on after each decision, since its edges feed each other. Levels do not: only one is used
at a time (arXiv 2306.09361, section 5.1), so all are decided on the mixture as it is (choice).
"""

import time

from mfas.fusion import LEVELS, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search.darts import Mixture
from mfas.search.problem import SearchProblem, SearchResult
from mfas.search.supernet import ranked
from mfas.train import Scores


def search_perturbation(problem: SearchProblem) -> SearchResult:
    """Search one fold; see the module's text."""
    mixture = Mixture(problem, "perturbation")
    mixture.train()
    started = time.perf_counter()
    without = score_removals(mixture)
    kept = [missed_most(level, without) for level in LEVELS]
    scores = mixture.score_paths()
    return mixture.result(
        max(kept, key=lambda strategy: ranked(scores[strategy])),
        scores,
        started,
        without={str(removed): found.ua for removed, found in without.items()},
    )


def score_removals(mixture: Mixture) -> dict[Strategy, Scores]:
    """Scores of each level's mixture without each of its operations."""
    scores = {}
    for level in LEVELS:
        for operation in OPERATION_NAMES:
            with mixture.cell.without(operation):
                scores[Strategy(level, operation)] = mixture.score(level)
    return scores


def missed_most(level: str, without: dict[Strategy, Scores]) -> Strategy:
    """The operation of `level` without which its mixture scores worst, the first of equals."""
    removable = [Strategy(level, operation) for operation in OPERATION_NAMES]
    return min(removable, key=lambda strategy: ranked(without[strategy]))
