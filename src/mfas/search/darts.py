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
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.optim import AdamW, Optimizer

from mfas.fusion import LEVELS, FusionCell, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.model import MFAS
from mfas.search.problem import SearchProblem, SearchResult
from mfas.train import (
    Checkpoint,
    derive_seed,
    drawing_from,
    load_checkpoint,
    loss_function,
    make_accelerator,
    save_checkpoint,
    score_utterances,
    train_step,
)
from mfas.train.checkpoint import (
    named_tensors,
    optimizer_tensors,
    restore_optimizer,
    trainable_state,
)
from mfas.train.loop import MicroBatch, micro_batch, parameter_groups, part_losses, steps_of
from mfas.train.scales import fit_scales


def search_darts(problem: SearchProblem) -> SearchResult:
    """Search one fold; see the module's text."""
    supernet = _Supernet(problem)
    for epoch in range(supernet.epochs_done, problem.settings.epochs):
        started = time.perf_counter()
        with drawing_from(derive_seed(problem.seed, "epoch", epoch)):
            train_loss = supernet.train_epoch(epoch)
        supernet.finish_epoch(train_loss, time.perf_counter() - started)
    started = time.perf_counter()
    scores = supernet.score_paths()
    return SearchResult(
        strategy=max(supernet.cell.heaviest(), key=lambda strategy: scores[str(strategy)]),
        method="darts",
        scores={path: ua for path, (ua, _) in scores.items()},
        seconds=supernet.seconds + time.perf_counter() - started,
        weights=supernet.cell.weights().tolist(),
        trajectory=tuple(supernet.trajectory),
    )


class _Supernet:
    """The mixture in training: its optimisers, its trajectory, its checkpoint."""

    def __init__(self, problem: SearchProblem) -> None:
        self.problem = problem
        self.accelerator = make_accelerator(problem.training)
        model = problem.make_model(None, derive_seed(problem.seed, "weights"))
        fit_scales(model, problem.data, problem.train)
        settings = problem.training.model_copy(update={"lr": problem.settings.lr})
        optimizer = AdamW(
            parameter_groups(model, settings), weight_decay=problem.training.weight_decay
        )
        self.model: MFAS
        self.optimizer: Optimizer
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        assert model.cell is not None, "there is nothing to search without a Fusion Cell"
        self.cell: FusionCell = model.cell
        self.loss = loss_function(problem.data, problem.train, problem.training).to(
            self.accelerator.device
        )
        self.trajectory: list[list[list[float]]] = []
        self.seconds = 0.0
        self._resume()

    @property
    def epochs_done(self) -> int:
        return len(self.trajectory)

    def train_epoch(self, epoch: int) -> float:
        problem = self.problem
        seed = derive_seed(problem.seed, "search order", epoch)
        size = micro_batch(problem.training)
        levels = torch.Generator().manual_seed(derive_seed(seed, "level"))
        validation = steps_of(self._endless_validation(seed, size), problem.training.accumulate)
        losses = []
        self.model.train()
        batches = problem.data.batches(problem.train, size, seed)
        for parts in steps_of(batches, problem.training.accumulate):
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

    def _endless_validation(self, seed: int, size: int) -> Iterator[MicroBatch]:
        for turn in itertools.count():
            order = derive_seed(seed, "validation", turn)
            yield from self.problem.data.batches(self.problem.validation, size, order)

    def score_paths(self) -> dict[str, tuple[float, float]]:
        """(UA, minus loss) of every one-hot path on the inner-validation utterances."""
        scores = {}
        for level, operation in itertools.product(LEVELS, OPERATION_NAMES):
            found = score_utterances(
                self.model,
                self.problem.data,
                self.problem.validation,
                micro_batch(self.problem.training),
                level,
                operation,
            )
            scores[str(Strategy(level, operation))] = (found.ua, -found.loss)
        return scores

    def finish_epoch(self, train_loss: float, seconds: float) -> None:
        self.trajectory.append(self.cell.weights().tolist())
        self.seconds += seconds
        epoch = self.epochs_done - 1
        self.problem.log({"epoch": epoch, "train_loss": train_loss, "seconds": round(seconds, 3)})
        if self._path is not None:
            tensors = {
                **named_tensors("model", trainable_state(self.model)),
                **optimizer_tensors("optimizer", self.optimizer),
            }
            facts = {"trajectory": self.trajectory, "seconds": self.seconds}
            save_checkpoint(self._path, Checkpoint(tensors, facts))

    @property
    def _path(self) -> Path | None:
        return self.problem.folder and self.problem.folder / "darts.safetensors"

    def _resume(self) -> None:
        saved = load_checkpoint(self._path) if self._path is not None else None
        if saved is not None:
            self.model.load_state_dict(saved.part("model"), strict=False)
            restore_optimizer(self.optimizer, saved.part("optimizer"))
            self.trajectory = saved.facts["trajectory"]
            self.seconds = saved.facts["seconds"]
