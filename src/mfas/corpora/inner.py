"""Which training material of a fold is held out for choices (inner validation).

The groups (speakers or sessions) of the training utterances enter; the indices held out leave. MFAS
(arXiv 2306.09361) does not say where its epochs are chosen; here it is never the test fold.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from mfas.errors import ManifestError


class InnerGroups:
    """Holds whole groups out of training, fold after fold, each about equally often.

    groups, labels: of every utterance of the manifest. fraction: share of a fold's training groups
    that is held out. Call `hold_out` once a fold, in the order of the folds.
    """

    def __init__(
        self, groups: Sequence[str], labels: Sequence[str], fraction: float, seed: int
    ) -> None:
        self._groups = np.array(groups)
        self._fraction = fraction
        self._seed = seed
        self._served: Counter[str] = Counter()
        self._classes: dict[str, frozenset[str]] = {
            group: frozenset(np.array(labels)[self._groups == group].tolist())
            for group in sorted(set(groups))
        }

    def hold_out(self, remaining: np.ndarray, fold_number: int, place: str) -> np.ndarray:
        """Indices of `remaining` (not the test utterances) that validate in this fold.

        Raises `ManifestError`, naming `place`, if only one group is left.
        """
        candidates = sorted(set(self._groups[remaining].tolist()))
        if len(candidates) < 2:
            raise ManifestError(
                f"{place}: only {', '.join(candidates)} is left to train on, so nothing can "
                "be held out for choices; add speakers (loso: sessions), or use evaluate.split = "
                "'kfold10' with evaluate.allow_optimistic = true"
            )
        count = max(1, round(self._fraction * len(candidates)))
        order = np.random.default_rng([self._seed, fold_number]).permutation(candidates).tolist()
        chosen = self._choose(order, min(count, len(candidates) - 1))
        self._served.update(chosen)
        return remaining[np.isin(self._groups[remaining], chosen)]

    def _choose(self, candidates: list[str], count: int) -> list[str]:
        """The groups that served least, swapped for others while that completes the classes."""
        order = sorted(candidates, key=lambda group: self._served[group])
        chosen = order[:count]
        while self._cost(chosen, order)[:2] != (0, 0):
            swaps = [
                [*(group for group in chosen if group != old), new]
                for old in chosen
                for new in order
                if new not in chosen
            ]
            best = min(swaps, key=lambda swap: self._cost(swap, order))
            if self._cost(best, order)[:2] >= self._cost(chosen, order)[:2]:
                break
            chosen = best
        return chosen

    def _cost(self, chosen: list[str], candidates: list[str]) -> tuple[int, int, int]:
        """Classes missing from training, from validation, and how often the chosen have served."""
        known = self._covered(candidates)
        training = self._covered([group for group in candidates if group not in chosen])
        served = sum(self._served[group] for group in chosen)
        return len(known - training), len(known - self._covered(chosen)), served

    def _covered(self, groups: Sequence[str]) -> frozenset[str]:
        return frozenset().union(*(self._classes[group] for group in groups))


def random_share(labels: Sequence[str], fraction: float, seed: int, fold_number: int) -> np.ndarray:
    """Positions of a random `fraction` of each class, at least one where a class has two."""
    generator = np.random.default_rng([seed, fold_number])
    chosen = []
    for label in sorted(set(labels)):
        positions = generator.permutation(np.flatnonzero(np.array(labels) == label))
        count = min(max(1, round(fraction * len(positions))), len(positions) - 1)
        chosen.extend(positions[:count].tolist())
    return np.array(sorted(chosen), dtype=int)
