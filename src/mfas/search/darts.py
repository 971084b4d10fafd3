"""Differentiable search, first order (DARTS, arXiv 1806.09055; arXiv 2306.09361, section 5.1).

At every mini-batch one level of SEC is drawn uniformly and only it is used. Each step moves alpha
by SGD on a batch of the inner-validation utterances (choice: the paper does not say what alpha is
fitted on), then the weights by AdamW on a batch of the inner-training utterances.

Operations of one level compete through their softmax, so a level's operation is the one of the
largest weight. Levels do not compete there; the level is the one whose one-hot path scores best on
the inner-validation utterances, with the weights of the last epoch.
"""

import itertools
import time
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from mfas.fusion import LEVELS, Strategy
from mfas.search.problem import SearchProblem, SearchResult
from mfas.search.supernet import Supernet, ranked
from mfas.train import Scores, derive_seed, train_step
from mfas.train.loop import MicroBatch, micro_batch, part_losses, steps_of


def search_darts(problem: SearchProblem) -> SearchResult:
    """Search one fold; see the module's text."""
    mixture = Mixture(problem, "darts")
    mixture.train()
    started = time.perf_counter()
    scores = mixture.score_paths()
    heaviest = mixture.cell.heaviest()
    return mixture.result(max(heaviest, key=lambda path: ranked(scores[path])), scores, started)


class Mixture(Supernet):
    """A supernet whose operations are mixed, by weights that are learnt beside theirs."""

    def result(
        self, strategy: Strategy, scores: Mapping[Strategy, Scores], started: float, **found: Any
    ) -> SearchResult:
        """With the weights of the mixture, too."""
        weights, trajectory = self.cell.weights().tolist(), tuple(self.trajectory)
        found |= {"weights": weights, "trajectory": trajectory}
        return super().result(strategy, scores, started, **found)

    def train_epoch(self, epoch: int) -> float:
        """A step of alpha and a step of the weights for every training batch."""
        problem, seed = self.problem, self.order_seed(epoch)
        levels = torch.Generator().manual_seed(derive_seed(seed, "level"))
        validation = steps_of(self._endless_validation(seed), problem.training.accumulate)
        losses = []
        for parts in self.steps(epoch):
            level = LEVELS[int(torch.randint(len(LEVELS), (1,), generator=levels))]
            self._alpha_step(next(validation), level)
            losses.append(self._weight_step(parts, level))
        return sum(losses) / len(losses)

    def _alpha_step(self, parts: list[MicroBatch], level: str) -> None:
        """Move alpha of `level` down the loss of a validation batch, the weights held still."""
        gradient = torch.zeros_like(self.cell.alpha)
        for loss in part_losses(self.model, parts, self.loss, self.accelerator, level):
            gradient += torch.autograd.grad(loss, self.cell.alpha)[0]
        with torch.no_grad():
            self.cell.alpha.sub_(self.problem.settings.alpha_lr * gradient)

    def _weight_step(self, parts: list[MicroBatch], level: str) -> float:
        """Move the weights down the training loss, alpha held still."""
        self.cell.alpha.requires_grad_(False)
        loss = train_step(self.model, parts, self.optimizer, self.loss, self.accelerator, level)
        self.cell.alpha.requires_grad_(True)
        return loss

    def _endless_validation(self, seed: int) -> Iterator[MicroBatch]:
        size = micro_batch(self.problem.training)
        for turn in itertools.count():
            order = derive_seed(seed, "validation", turn)
            yield from self.problem.data.batches(self.problem.validation, size, order)
