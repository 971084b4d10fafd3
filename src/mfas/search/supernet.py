"""One model that holds every operation at every level, in training: the ground of three searchers.

A `SearchProblem` enters; what leaves after each epoch is a checkpoint, the weights of alpha and the
size of each operation's output (`norms`), and at the end the scores of all one-hot paths on the
inner-validation utterances (arXiv 2306.09361, section 5.1). How an epoch is trained is the searcher's:
`darts.Mixture` moves alpha, `single_path.Paths` has none.
"""

import itertools
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch.optim import AdamW, Optimizer

from mfas.fusion import LEVELS, FusionCell, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.model import MFAS
from mfas.search.norms import Norms, operation_norms
from mfas.search.problem import SearchProblem, SearchResult
from mfas.train import (
    Checkpoint,
    Scores,
    derive_seed,
    drawing_from,
    load_checkpoint,
    loss_function,
    make_accelerator,
    save_checkpoint,
    score_utterances,
)
from mfas.train.checkpoint import (
    named_tensors,
    optimizer_tensors,
    restore_optimizer,
    trainable_state,
)
from mfas.train.loop import MicroBatch, micro_batch, parameter_groups, steps_of
from mfas.train.scales import fit_scales


class Supernet:
    """The model, its optimiser, its trajectory, its checkpoint in a file called after `method`."""

    def __init__(self, problem: SearchProblem, method: str) -> None:
        self.problem, self.method = problem, method
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
        self.norms: list[Norms] = []
        self.seconds = 0.0
        self._resume()

    def train(self) -> None:
        """Train the epochs that are missing."""
        for epoch in range(self.epochs_done, self.problem.settings.epochs):
            started = time.perf_counter()
            with drawing_from(derive_seed(self.problem.seed, "epoch", epoch)):
                self.model.train()
                train_loss = self.train_epoch(epoch)
            self._finish_epoch(train_loss, started)

    def train_epoch(self, epoch: int) -> float:
        """One pass over the training utterances; returns the mean loss of its steps."""
        raise NotImplementedError

    @property
    def epochs_done(self) -> int:
        """Epochs trained so far, those before an interrupt included."""
        return len(self.trajectory)

    def steps(self, epoch: int) -> Iterator[list[MicroBatch]]:
        """The batches of an epoch's steps, each in its parts."""
        training = self.problem.training
        batches = self.problem.data.batches(
            self.problem.train, micro_batch(training), self.order_seed(epoch)
        )
        return steps_of(batches, training.accumulate)

    def order_seed(self, epoch: int) -> int:
        """What everything shuffled in an epoch follows from."""
        return derive_seed(self.problem.seed, "search order", epoch)

    def score(self, level: str, operation: str | None = None) -> Scores:
        """Scores on the inner-validation utterances of a path, or of a level's mixture."""
        return score_utterances(
            self.model,
            self.problem.data,
            self.problem.validation,
            micro_batch(self.problem.training),
            level,
            operation,
        )

    def score_paths(self) -> dict[Strategy, Scores]:
        """Scores of every one-hot path, with the weights of the last epoch."""
        return {
            Strategy(level, operation): self.score(level, operation)
            for level, operation in itertools.product(LEVELS, OPERATION_NAMES)
        }

    def result(
        self, strategy: Strategy, scores: Mapping[Strategy, Scores], started: float, **found: Any
    ) -> SearchResult:
        """The answer `strategy` with what was recorded; `started`: when training was over."""
        return SearchResult(
            strategy=strategy,
            method=self.method,
            scores={str(path): own.ua for path, own in scores.items()},
            seconds=self.seconds + time.perf_counter() - started,
            norms=tuple(self.norms),
            **found,
        )

    def _finish_epoch(self, train_loss: float, started: float) -> None:
        seconds = time.perf_counter() - started  # without the norms: no searcher needs them
        self.trajectory.append(self.cell.weights().tolist())
        self.norms.append(
            operation_norms(
                self.model,
                self.problem.data,
                self.problem.validation,
                micro_batch(self.problem.training),
                derive_seed(self.problem.seed, "norms"),
            )
        )
        self.seconds += seconds
        epoch = self.epochs_done - 1
        self.problem.log({"epoch": epoch, "train_loss": train_loss, "seconds": round(seconds, 3)})
        if self._path is not None:
            tensors = {
                **named_tensors("model", trainable_state(self.model)),
                **optimizer_tensors("optimizer", self.optimizer),
            }
            facts = {"trajectory": self.trajectory, "norms": self.norms, "seconds": self.seconds}
            save_checkpoint(self._path, Checkpoint(tensors, facts))

    @property
    def _path(self) -> Path | None:
        return self.problem.folder and self.problem.folder / f"{self.method}-supernet.safetensors"

    def _resume(self) -> None:
        saved = load_checkpoint(self._path) if self._path is not None else None
        if saved is not None:
            self.model.load_state_dict(saved.part("model"), strict=False)
            restore_optimizer(self.optimizer, saved.part("optimizer"))
            self.trajectory = saved.facts["trajectory"]
            self.norms = saved.facts["norms"]
            self.seconds = saved.facts["seconds"]


def ranked(scores: Scores) -> tuple[float, float]:
    """What paths are compared by: UA, and at the same UA the smaller loss."""
    return scores.ua, -scores.loss
