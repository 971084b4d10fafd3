"""The loop of pretraining: batches and an objective enter, a trained objective leaves.

One process or several (accelerate, torchrun): each takes its rows of every batch, and the averaged
gradient is that of the whole batch. Every update draws its random numbers from a seed of its own, so
a run that resumes from a checkpoint is, on a CPU, bit for bit the run that was never interrupted.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import AdamW, Optimizer

from mfas.audio import RATE_HZ
from mfas.config import PretrainRecipe
from mfas.encoders import TransformerEncoder
from mfas.errors import FailedError
from mfas.pretrain.batches import Plan, read_ahead, read_batch
from mfas.pretrain.guards import Watch
from mfas.pretrain.objective import Objective, ObjectiveOutput, SpeechBatch, vary_level
from mfas.pretrain.schedule import learning_rate, parameter_groups
from mfas.pretrain.speech import Speech
from mfas.train import Checkpoint, derive_seed, load_checkpoint, save_checkpoint
from mfas.train.checkpoint import named_tensors, optimizer_tensors, restore_optimizer

Log = Callable[[dict[str, Any]], None]


class Trainer:
    """Where a run stands: objective, optimiser, and the number of updates done."""

    def __init__(
        self, objective: Objective, recipe: PretrainRecipe, accelerator: Accelerator
    ) -> None:
        settings = recipe.optimize
        self.objective, self.recipe, self.accelerator = objective, recipe, accelerator
        self.update, self.seconds, self.audio_seconds = 0, 0.0, 0.0
        self.watch = Watch(objective.guards)
        objective.encoder.trained = True  # from the first checkpoint on
        groups = parameter_groups(objective, settings.weight_decay)
        optimizer = AdamW(groups, lr=settings.lr, betas=settings.betas, eps=1e-6, fused=True)
        if settings.compile:
            objective.encoder.front.compile()
            for block in objective.encoder.blocks:
                block.compile()
        self.model, self.optimizer = accelerator.prepare(objective, optimizer)

    @property
    def encoder(self) -> TransformerEncoder:
        """The encoder in training."""
        return self.objective.encoder

    def run(
        self,
        speech: Speech,
        plans: Callable[[int], Iterator[Plan]],
        log: Log,
        save: Callable[["Trainer"], None],
        minutes: float | None = None,
    ) -> bool:
        """Do the updates that are left; True when all are done.

        With `minutes`, it stops behind the first checkpoint after that time.

        plans: the batches behind a number of updates. log: takes one line of measures. save: called
        every `checkpoint_every` updates, always behind a line of the log, so that nothing diverged is
        saved. Raises `FailedError` if the run diverges or collapses, on all processes at once.
        """
        settings, accelerator = self.recipe.optimize, self.accelerator
        meter, started = _Meter(self), time.perf_counter()
        batches = (
            read_batch(speech, plan, accelerator.process_index, accelerator.num_processes)
            for plan in plans(self.update)
        )
        self.model.train()
        with closing(read_ahead(batches)) as ready:
            while self.update < settings.updates:
                batch = next(ready)
                meter.add(self._step(batch), batch)
                is_saved = self.update % settings.checkpoint_every == 0
                is_logged = is_saved or self.update % settings.log_every == 0
                if is_logged or self.update == settings.updates:
                    self._report(meter.line(accelerator), log)
                if is_saved:
                    save(self)
                    if minutes is not None and self._has_passed(60 * minutes, started):
                        break
        return self.update >= settings.updates

    def _has_passed(self, seconds: float, started: float) -> bool:
        """Whether the time is over for any of the processes, so that all of them stop together."""
        over = torch.tensor(float(time.perf_counter() - started >= seconds))
        return bool(self.accelerator.reduce(over.to(self.accelerator.device), "sum") > 0)

    def _report(self, line: dict[str, Any], log: Log) -> None:
        """Log a line of measures, and stop a run that has gone wrong."""
        _require_finite(self.update, line)
        log(line)
        if self.update > self.recipe.guards.grace * self.recipe.optimize.updates:
            self.watch.look(self.update, line)

    def _step(self, batch: SpeechBatch) -> dict[str, Tensor]:
        """One update; returns its measures, still on the device."""
        settings, accelerator = self.recipe.optimize, self.accelerator
        seed, progress = self.recipe.seed, self.update / settings.updates
        torch.manual_seed(derive_seed(seed, "dropout", self.update, accelerator.process_index))
        generator = torch.Generator(accelerator.device)
        generator.manual_seed(derive_seed(seed, "draw", self.update))
        batch = vary_level(batch.to(accelerator.device), self.recipe.speech.gain_db, generator)
        output: ObjectiveOutput = self.model(batch, progress, generator)
        accelerator.backward(output.loss)
        norm = accelerator.clip_grad_norm_(self.model.parameters(), settings.clip)
        rate = learning_rate(settings, self.update)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.update += 1
        self.objective.after_update(self.update / settings.updates)
        norm = torch.as_tensor(norm, device=accelerator.device)
        return {"loss": output.loss.detach(), **output.measures, "gradient_norm": norm}

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        tensors = {
            **named_tensors("objective", self.objective.state_dict()),
            **optimizer_tensors("optimizer", self._optimizer),
        }
        facts = {
            "update": self.update,
            "seconds": self.seconds,
            "audio_seconds": self.audio_seconds,
            "low": self.watch.low,
        }
        save_checkpoint(path, Checkpoint(tensors, facts))

    def restore(self, path: Path) -> bool:
        """Go on from the checkpoint at `path`; False if there is none."""
        saved = load_checkpoint(path)
        if saved is None:
            return False
        self.objective.load_state_dict(saved.part("objective"))
        restore_optimizer(self._optimizer, saved.part("optimizer"))
        self.update = saved.facts["update"]
        self.seconds, self.audio_seconds = saved.facts["seconds"], saved.facts["audio_seconds"]
        self.watch.low = saved.facts["low"]
        return True

    @property
    def _optimizer(self) -> Optimizer:
        return getattr(self.optimizer, "optimizer", self.optimizer)  # accelerate wraps it


class _Meter:
    """Means of measures between two lines of the log."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.started = trainer, time.perf_counter()
        self.sums: dict[str, Tensor] = {}
        self.updates, self.audio_seconds = 0, 0.0

    def add(self, measures: dict[str, Tensor], batch: SpeechBatch) -> None:
        for name, value in measures.items():
            self.sums[name] = self.sums.get(name, 0) + value.float()
        self.updates += 1
        rows = batch.all_rows / len(batch.samples_B)  # of all processes
        self.audio_seconds += float(batch.samples_B.sum()) * rows / RATE_HZ

    def line(self, accelerator: Accelerator) -> dict[str, Any]:
        """The means over the updates since the last line, and over processes."""
        means = torch.stack(list(self.sums.values())) / self.updates
        values = dict(zip(self.sums, accelerator.reduce(means, "mean").tolist(), strict=True))
        trainer, now = self.trainer, time.perf_counter()
        seconds, self.started = now - self.started, now
        trainer.seconds += seconds
        trainer.audio_seconds += self.audio_seconds
        facts = {
            "lr": learning_rate(trainer.recipe.optimize, trainer.update - 1),
            "audio_seconds": round(trainer.audio_seconds, 1),
            "seconds": round(trainer.seconds, 1),
            "audio_seconds_per_second": round(self.audio_seconds / seconds, 1),
        }
        self.sums, self.updates, self.audio_seconds = {}, 0, 0.0
        return {"update": trainer.update, **values, **facts}


def _require_finite(update: int, line: dict[str, Any]) -> None:
    if not math.isfinite(line["loss"]) or not math.isfinite(line["gradient_norm"]):
        raise FailedError(
            f"training diverged by update {update} (the loss is {line['loss']}, the gradient's norm "
            f"{line['gradient_norm']}); lower optimize.lr"
        )
