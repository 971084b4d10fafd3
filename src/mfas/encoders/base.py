"""What every speech encoder does: segments enter, frames of some of its layers leave.

A SEC encoder returns three levels, layers 1, n/2 and n; a TEC encoder returns layer n (MFAS, arXiv
2306.09361, section 5.1). Frames behind the end of a segment are exactly zero and masked, and what
lies behind the end never changes the others:

- a frozen encoder runs segments of equal length together, each cut at its end, so there is nothing
  behind it; a recording therefore always gives the same bits, whether its frames are cached or not;
- an encoder in training runs padded batches, in which every layer that looks sideways is masked.

Shape legend: B segments, N samples, L levels, T encoder frames, D width.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfas.audio import SEGMENT_SAMPLES
from mfas.errors import ModelError
from mfas.storage import sha256_of_json

Role = Literal["sec", "tec"]
SEC_LEVELS = ("first", "middle", "last")


@dataclass(frozen=True)
class Frames:
    """Encoder frames. hidden_BLTD: float, masked frames are 0. mask_BT: bool, True = real."""

    hidden_BLTD: Tensor
    mask_BT: Tensor


class SpeechEncoder(nn.Module, ABC):
    """Base of all encoders.

    name: says which encoder it is. dim: width D. depth: transformer layers n. layers: the hidden
    states it returns, counted from 1. receptive_field: samples one frame needs.
    frames_per_segment: T of 3 seconds. trained: False for random weights, which results must say.
    frozen: weights are fixed, dropout is off (see `freeze`).
    """

    name: str
    dim: int
    depth: int
    layers: tuple[int, ...]
    receptive_field: int
    trained: bool
    frames_per_segment: int
    frozen = False
    masks_padding = True  # False: the model cannot mask, so training runs unpadded groups as well

    def frame_counts(self, samples_B: Tensor) -> Tensor:
        """Real frames of segments that hold `samples_B` real samples: int64 (B,), at least 1.

        Below one receptive field, the zeros behind the end count as real.
        """
        return self._count_frames(samples_B.clamp(self.receptive_field, SEGMENT_SAMPLES))

    def forward(self, waveforms_BN: Tensor, samples_B: Tensor) -> Frames:
        """Encode segments: float (B, N) at 16 kHz, N up to 48,000, of which `samples_B` are real.

        Returns (B, L, T, D) with T = `frames_per_segment`, whatever N is.
        """
        waveforms_BN = F.pad(waveforms_BN, (0, SEGMENT_SAMPLES - waveforms_BN.shape[1]))
        positions_N = torch.arange(SEGMENT_SAMPLES, device=waveforms_BN.device)
        waveforms_BN = waveforms_BN.masked_fill(positions_N >= samples_B[:, None], 0)
        samples_B = samples_B.clamp(self.receptive_field, SEGMENT_SAMPLES)
        together = self.masks_padding and (not self.frozen or _is_traced())
        run = self._levels if together else self._unpadded
        hidden_BLTD = run(waveforms_BN, samples_B)
        missing = self.frames_per_segment - hidden_BLTD.shape[2]
        hidden_BLTD = F.pad(hidden_BLTD, (0, 0, 0, missing))
        frames_T = torch.arange(self.frames_per_segment, device=waveforms_BN.device)
        mask_BT = frames_T < self._count_frames(samples_B)[:, None]
        return Frames(hidden_BLTD.masked_fill(~mask_BT[:, None, :, None], 0), mask_BT)

    def _unpadded(self, waveforms_BN: Tensor, samples_B: Tensor) -> Tensor:
        """Run segments of equal length together, each cut at its end."""
        shape = (len(samples_B), len(self.layers), self.frames_per_segment, self.dim)
        hidden_BLTD = waveforms_BN.new_zeros(shape, dtype=torch.float32)
        for samples in samples_B.unique().tolist():
            rows_B = (samples_B == samples).nonzero()[:, 0]
            group_BLTD = self._levels(waveforms_BN[rows_B, :samples], samples_B[rows_B])
            hidden_BLTD[rows_B, :, : group_BLTD.shape[2]] = group_BLTD
        return hidden_BLTD

    def freeze(self) -> Self:
        """Fix the weights and switch dropout off for good; returns the encoder itself."""
        self.frozen = True
        self.requires_grad_(False)
        return self.train(False)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def fingerprint(self) -> str:
        """Hex SHA-256 of settings and weights: equal for equal encoders, in every process."""
        digest = hashlib.sha256(sha256_of_json(self._settings()).encode())
        for name, tensor in sorted(self.state_dict().items()):
            values = tensor.detach().cpu().contiguous()
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write a folder from which `load_encoder` gives an equal encoder back."""

    @abstractmethod
    def _count_frames(self, samples_B: Tensor) -> Tensor:
        """Frames of unpadded waveforms, each at least one receptive field long."""

    @abstractmethod
    def _levels(self, waveforms_BN: Tensor, samples_B: Tensor) -> Tensor:
        """Hidden states of `layers`, float32 (B, L, frames of N samples, D); zeros behind ends."""

    @abstractmethod
    def _settings(self) -> Mapping[str, Any]:
        """Everything beside the weights that changes what the encoder returns, as JSON."""


def level_layers(depth: int, role: Role, name: str) -> tuple[int, ...]:
    """The layers (from 1) that a role needs of an encoder with `depth` layers.

    Raises `ModelError` if three levels are asked of fewer than three layers.
    """
    if role == "tec":
        return (depth,)
    if depth < len(SEC_LEVELS):
        raise ModelError(
            f"{name}: has {depth} transformer layers but SEC needs 3 levels; choose a deeper one"
        )
    return (1, max(2, depth // 2), depth)


def _is_traced() -> bool:
    """Whether the model is being exported: groups of equal length depend on the data."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()
