"""What every pretraining objective does: a batch of speech enters, a loss and its measures leave.

An objective holds the encoder that it trains and whatever it needs beside it (codebooks, a teacher,
a decoder). It draws nothing from ambient randomness except dropout: masks, noise and negatives come
from the `generator` it is given, drawn for the whole batch of all processes, of which each takes its
own rows. So the same seed gives the same loss on one process and on several.

Shape legend: B rows of this process, N samples.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, distributed, nn

from mfas.encoders import TransformerEncoder


@dataclass(frozen=True)
class SpeechBatch:
    """Speech of one update, on the device of the model.

    waveforms_BN: float32 at 16 kHz. samples_B: int64, real samples of each row; crops have no
    padding, whole recordings do. texts: transcripts, for CTC. first_row, all_rows: which rows of
    the batch of all processes these are.
    """

    waveforms_BN: Tensor
    samples_B: Tensor
    texts: tuple[str, ...] = ()
    first_row: int = 0
    all_rows: int = 0

    def to(self, device: torch.device) -> "SpeechBatch":
        """The same on another device."""
        return replace(
            self,
            waveforms_BN=self.waveforms_BN.to(device, non_blocking=True),
            samples_B=self.samples_B.to(device, non_blocking=True),
        )

    def own_rows(self, drawn: Tensor) -> Tensor:
        """The rows of this process out of what was drawn for all `all_rows` rows (dimension 0)."""
        assert len(drawn) == self.all_rows, "random numbers are drawn for the rows of all processes"
        return drawn[self.first_row : self.first_row + len(self.waveforms_BN)]


@dataclass(frozen=True)
class ObjectiveOutput:
    """loss: scalar with gradient. measures: detached scalars by name, for the log and the guards."""

    loss: Tensor
    measures: dict[str, Tensor]


@dataclass(frozen=True)
class Guard:
    """A run has collapsed when `measure` stays below `least`; `meaning` says what that is."""

    measure: str
    least: float
    meaning: str


class Objective(nn.Module, ABC):
    """An encoder in training, and the loss it is trained by."""

    encoder: TransformerEncoder
    guards: tuple[Guard, ...] = ()

    @abstractmethod
    def forward(
        self, batch: SpeechBatch, progress: float, generator: torch.Generator
    ) -> ObjectiveOutput:
        """The loss of `batch` at `progress`, the share of the run that is done, 0 to 1."""

    def after_update(self, progress: float) -> None:
        """What follows each optimisation step (a teacher's moving average)."""


def vary_level(batch: SpeechBatch, gain_db: float, generator: torch.Generator) -> SpeechBatch:
    """Every row louder or softer by up to `gain_db` decibels."""
    if gain_db == 0:
        return batch
    drawn_B = torch.rand(batch.all_rows, generator=generator, device=generator.device)
    gains_B = 10 ** ((2 * batch.own_rows(drawn_B) - 1) * gain_db / 20)
    return replace(batch, waveforms_BN=batch.waveforms_BN * gains_B[:, None])


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of `value` over all processes, with gradient; `value` itself where there is one.

    Its backward pass gives each process the gradient of its own share, so that the average that
    data-parallel training takes of the gradients is the gradient of the whole.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    return _SumOverProcesses.apply(value) / distributed.get_world_size()


class _SumOverProcesses(torch.autograd.Function):
    """A sum over processes forwards, and of gradients backwards; torch has none that is public."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        return _summed(value)

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(value: Tensor) -> Tensor:
    total = value.clone()
    distributed.all_reduce(total)
    return total
