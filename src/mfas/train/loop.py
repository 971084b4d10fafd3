"""One readable training loop: AdamW, early stop on validation utterances, exact resume.

A model, segments and two lists of utterances enter; the model leaves with the weights of its best
epoch. Who may be in the validation list is the protocol's business (`evaluate`).
"""

import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from mfas.config import TrainSection
from mfas.errors import FailedError
from mfas.heads import RidgeHead
from mfas.heads.ridge import Condition
from mfas.model import MFAS, Batch
from mfas.train.checkpoint import (
    Checkpoint,
    load_checkpoint,
    named_tensors,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    trainable_state,
)
from mfas.train.closed_form import solve_head
from mfas.train.data import SegmentSet
from mfas.train.device import make_accelerator
from mfas.train.scales import fit_scales
from mfas.train.scores import Scores, scores_of
from mfas.train.scoring import score_utterances
from mfas.train.seeds import derive_seed, drawing_from

Log = Callable[[dict[str, Any]], None]
MicroBatch = tuple[Batch, Tensor, Any]  # segments, their classes, their ids
MAXIMUM_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class EpochScores:
    """What one epoch gave; fractions in 0..1."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_ua: float
    validation_wa: float
    seconds: float


@dataclass(frozen=True)
class FitResult:
    """The scores of the best epoch, and every epoch's."""

    best_epoch: int
    best: Scores
    history: tuple[EpochScores, ...]


def fit(
    model: MFAS,
    data: SegmentSet,
    train: Sequence[int],
    validation: Sequence[int],
    settings: TrainSection,
    seed: int,
    log: Log,
    checkpoint: Path | None = None,
    conditions: Sequence[Condition] = ("plain",),
) -> FitResult:
    """Train `model` on the utterances `train`; keep the epoch that is best on `validation`.

    A head in closed form is solved instead, for each of `conditions`: its choices are made on
    `validation`, or without any by leaving each training speaker out; scores are of the first condition.
    With `checkpoint`, every epoch is saved there and a fit that was interrupted goes on from it,
    to the same weights. Segments, not utterances, are the examples; scores are of utterances.
    Raises `FailedError` if the training diverges.
    """
    if isinstance(model.head, RidgeHead):
        return _fit_closed_form(model, data, train, validation, settings, log, conditions)
    accelerator = make_accelerator(settings)
    fit_scales(model, data, train)
    optimizer = AdamW(parameter_groups(model, settings), weight_decay=settings.weight_decay)
    model, optimizer = accelerator.prepare(model, optimizer)
    loss_of = loss_function(data, train, settings).to(accelerator.device)
    progress = _Progress.resume(model, optimizer, checkpoint)
    while not progress.finished(settings):
        started = time.perf_counter()
        epoch = len(progress.history)
        with drawing_from(derive_seed(seed, "epoch", epoch)):
            batches = data.batches(train, micro_batch(settings), derive_seed(seed, "order", epoch))
            steps = steps_of(batches, settings.accumulate)
            train_loss = _train_epoch(model, steps, optimizer, loss_of, accelerator)
        scores = score_utterances(model, data, validation, micro_batch(settings))
        _require_finite(scores.loss)
        progress.add(scores, train_loss, time.perf_counter() - started)
        log(asdict(progress.history[-1]))
        progress.save(checkpoint)
    model.load_state_dict(progress.best_weights, strict=False)
    return FitResult(progress.best_epoch, progress.best_scores, tuple(progress.history))


def _fit_closed_form(
    model: MFAS,
    data: SegmentSet,
    train: Sequence[int],
    validation: Sequence[int],
    settings: TrainSection,
    log: Log,
    conditions: Sequence[Condition],
) -> FitResult:
    started = time.perf_counter()
    fit_scales(model, data, train)
    solution = solve_head(model, data, train, settings.balance, conditions, validation)
    best = scores_of(solution.judged_UK, data, validation or train)
    fitted = scores_of(solution.fitted_UK, data, train)
    seconds = round(time.perf_counter() - started, 3)
    epoch = EpochScores(0, fitted.loss, best.loss, best.ua, best.wa, seconds)
    log(asdict(epoch) | {"penalty": solution.penalty, "temperature": solution.temperature})
    return FitResult(0, best, (epoch,))


def train_step(
    model: MFAS,
    parts: Sequence[MicroBatch],
    optimizer: Optimizer,
    loss_of: nn.CrossEntropyLoss,
    accelerator: Accelerator,
    level: str | None = None,
    operations: Sequence[str | None] = (None,),
) -> float:
    """One step on a batch that comes in parts: the step of the whole batch; returns its loss.

    Of several `operations`, each a path of the mixture, the mean loss counts.
    """
    total = 0.0
    for operation in operations:
        for loss in part_losses(model, parts, loss_of, accelerator, level, operation):
            accelerator.backward(loss / len(operations))
            total += loss.item() / len(operations)
    _require_finite(total)
    accelerator.clip_grad_norm_(model.parameters(), MAXIMUM_GRADIENT_NORM)
    optimizer.step()
    optimizer.zero_grad()
    return total


def part_losses(
    model: MFAS,
    parts: Sequence[MicroBatch],
    loss_of: nn.CrossEntropyLoss,
    accelerator: Accelerator,
    level: str | None = None,
    operation: str | None = None,
) -> Iterator[Tensor]:
    """The loss of each part of a batch, weighted so that they add up to the loss of the whole."""
    assert loss_of.weight is not None, "see `loss_function`"
    sums = [loss_of.weight[targets_B.to(loss_of.weight.device)].sum() for _, targets_B, _ in parts]
    for part_sum, (batch, targets_B, _) in zip(sums, parts, strict=True):
        with accelerator.autocast():
            log_probabilities_BK = model(batch.to(accelerator.device), level, operation)
        loss = loss_of(log_probabilities_BK, targets_B.to(accelerator.device))
        yield loss * (part_sum / sum(sums))


def steps_of(batches: Iterable[MicroBatch], accumulate: int) -> Iterator[list[MicroBatch]]:
    """Groups of `accumulate` micro-batches, one a step; the last of an epoch may have fewer."""
    remaining = iter(batches)
    while parts := list(itertools.islice(remaining, accumulate)):
        yield parts


def loss_function(
    data: SegmentSet, train: Sequence[int], settings: TrainSection
) -> nn.CrossEntropyLoss:
    """Cross-entropy over classes, weighted and smoothed as the settings say."""
    return nn.CrossEntropyLoss(
        weight=data.class_weights(train, settings.balance),
        label_smoothing=settings.label_smoothing,
    )


def parameter_groups(model: MFAS, settings: TrainSection) -> list[dict[str, Any]]:
    """Fine-tuned encoders at their own rate, everything else at `lr`; alpha and frozen parts out."""
    encoders: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not name.endswith("cell.alpha"):
            (encoders if name.startswith(("sec.", "tec.")) else others).append(parameter)
    groups = [{"params": others, "lr": settings.lr}]
    return groups + ([{"params": encoders, "lr": settings.encoder_lr}] if encoders else [])


def _require_finite(loss: float) -> None:
    if not math.isfinite(loss):
        raise FailedError(
            f"training diverged (the loss is {loss}); lower train.lr, in a search search.lr"
        )


def micro_batch(settings: TrainSection) -> int:
    """Segments of one forward pass: the batch, split into `accumulate` parts."""
    return settings.batch // settings.accumulate


def _train_epoch(
    model: MFAS,
    steps: Iterable[list[MicroBatch]],
    optimizer: Optimizer,
    loss_of: nn.CrossEntropyLoss,
    accelerator: Accelerator,
) -> float:
    model.train()
    losses = [train_step(model, parts, optimizer, loss_of, accelerator) for parts in steps]
    return sum(losses) / len(losses)


class _Progress:
    """Where a fit stands: the epochs so far and the weights of the best one."""

    def __init__(self, model: MFAS, optimizer: Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.history: list[EpochScores] = []
        self.best_epoch = -1
        self.best: Scores | None = None
        self.best_weights: dict[str, Tensor] = {}

    @classmethod
    def resume(cls, model: MFAS, optimizer: Optimizer, path: Path | None) -> "_Progress":
        progress = cls(model, optimizer)
        saved = load_checkpoint(path) if path is not None else None
        if saved is not None:
            model.load_state_dict(saved.part("model"), strict=False)
            restore_optimizer(optimizer, saved.part("optimizer"))
            progress.history = [EpochScores(**epoch) for epoch in saved.facts["history"]]
            progress.best_epoch = saved.facts["best_epoch"]
            progress.best = Scores(**saved.facts["best"])
            progress.best_weights = saved.part("best")
        return progress

    @property
    def best_scores(self) -> Scores:
        assert self.best is not None, "at least one epoch was trained"
        return self.best

    def finished(self, settings: TrainSection) -> bool:
        done = len(self.history)
        return done >= settings.epochs or done - 1 - self.best_epoch >= settings.patience

    def add(self, scores: Scores, train_loss: float, seconds: float) -> None:
        epoch = len(self.history)
        self.history.append(
            EpochScores(epoch, train_loss, scores.loss, scores.ua, scores.wa, round(seconds, 3))
        )
        if scores.better_than(self.best):
            self.best, self.best_epoch = scores, epoch
            self.best_weights = {k: v.clone() for k, v in trainable_state(self.model).items()}

    def save(self, path: Path | None) -> None:
        if path is None:
            return
        tensors = {
            **named_tensors("model", trainable_state(self.model)),
            **named_tensors("best", self.best_weights),
            **optimizer_tensors("optimizer", self.optimizer),
        }
        facts = {
            "history": [asdict(epoch) for epoch in self.history],
            "best_epoch": self.best_epoch,
            "best": asdict(self.best_scores),
        }
        save_checkpoint(path, Checkpoint(tensors, facts))
