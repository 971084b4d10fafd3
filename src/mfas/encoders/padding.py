"""Layers of Hugging Face speech models that look past the end of a segment, made to stop there.

The models mask attention, but two of their layers still let padding change real frames:

- the group norm over time behind the first convolution of wav2vec2-base and hubert-base, which
  takes its statistics from the padding too;
- the stack of position convolutions of data2vec-audio (arXiv 2202.03555): from the second on, they
  see what the first wrote behind the end.

`guard_padding` replaces or hooks these layers; `ends_at` tells them, for one forward pass, where
each segment ends. Without it, or if all segments are full, they compute what they always did.

Shape legend: B segments, T frames of the layer, C channels, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Ends:
    """Where segments end: real samples, and real frames of the encoder, both int64 (B,)."""

    samples_B: Tensor
    frames_B: Tensor


_ENDS: ContextVar[Ends | None] = ContextVar("ends", default=None)


@contextmanager
def ends_at(ends: Ends) -> Iterator[None]:
    """Tell the guarded layers where segments end while the block runs (in this thread alone)."""
    token = _ENDS.set(ends)
    try:
        yield
    finally:
        _ENDS.reset(token)


def guard_padding(model: PreTrainedModel) -> None:
    """Make `model`, of type wav2vec2, hubert or data2vec-audio, safe for padded batches."""
    first = model.feature_extractor.conv_layers[0]
    if isinstance(getattr(first, "layer_norm", None), nn.GroupNorm):
        first.layer_norm = RealGroupNorm(first.layer_norm, first.conv)
    for layer in getattr(model.encoder.pos_conv_embed, "layers", ()):
        layer.register_forward_hook(_zero_behind_ends)


class RealGroupNorm(nn.GroupNorm):
    """A group norm with one channel per group whose statistics see real frames alone.

    It shares its weights with `original`, so state dicts keep their names.
    """

    def __init__(self, original: nn.GroupNorm, convolution: nn.Conv1d) -> None:
        super().__init__(original.num_groups, original.num_channels, eps=original.eps)
        assert original.num_groups == original.num_channels, "the models norm each channel alone"
        self.weight, self.bias = original.weight, original.bias
        self.kernel, self.stride = convolution.kernel_size[0], convolution.stride[0]

    def forward(self, hidden_BCT: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        ends = _ENDS.get()
        if ends is None:
            return super().forward(hidden_BCT)
        frames_B11 = ((ends.samples_B - self.kernel) // self.stride + 1)[:, None, None]
        real_B1T = torch.arange(hidden_BCT.shape[2], device=hidden_BCT.device) < frames_B11
        hidden_BCT = hidden_BCT.float()
        mean_BC1 = (hidden_BCT * real_B1T).sum(2, keepdim=True) / frames_B11
        centred_BCT = (hidden_BCT - mean_BC1) * real_B1T
        variance_BC1 = centred_BCT.square().sum(2, keepdim=True) / frames_B11
        normed_BCT = centred_BCT * (variance_BC1 + self.eps).rsqrt()
        return normed_BCT * self.weight[:, None] + self.bias[:, None]


def _zero_behind_ends(_layer: nn.Module, _inputs: Any, hidden_BDT: Tensor) -> Tensor:
    ends = _ENDS.get()
    if ends is None:
        return hidden_BDT
    frames_T = torch.arange(hidden_BDT.shape[2], device=hidden_BDT.device)
    return hidden_BDT.masked_fill((frames_T >= ends.frames_B[:, None])[:, None], 0)
