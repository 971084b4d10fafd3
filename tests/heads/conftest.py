"""Views of segments, encoder frames with their masks, and heads of both sizes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from mfas.heads import SIZES, CoAttention

DIM, ENCODER_FRAMES, CLASSES = 24, 149, 5


@dataclass(frozen=True)
class Given:
    """What a head is given. frames_B counts real 10 ms frames, the masks real encoder frames."""

    spectrogram_BFV: Tensor
    mfcc_BVC: Tensor
    frames_B: Tensor
    streams_BTD: list[Tensor]
    masks_BT: list[Tensor]

    def __iter__(self):
        return iter(vars(self).values())

    def rows(self, chosen: slice) -> "Given":
        return Given(
            self.spectrogram_BFV[chosen],
            self.mfcc_BVC[chosen],
            self.frames_B[chosen],
            [stream[chosen] for stream in self.streams_BTD],
            [mask[chosen] for mask in self.masks_BT],
        )


def real(counts: Tensor, total: int) -> Tensor:
    return torch.arange(total) < counts.unsqueeze(-1)


@pytest.fixture(scope="session")
def given() -> Callable[..., Given]:
    """`given([300, 57], streams=2)`: segments with that many real 10 ms frames, zero behind."""

    def make(frames: list[int], streams: int) -> Given:
        generator = torch.Generator().manual_seed(len(frames))
        frames_B = torch.tensor(frames)
        mask_BV = real(frames_B, 300)
        mask_BT = real((frames_B // 2).clamp(1, ENCODER_FRAMES), ENCODER_FRAMES)
        shape = (len(frames), ENCODER_FRAMES, DIM)
        return Given(
            -80 * torch.rand(len(frames), 200, 300, generator=generator) * mask_BV.unsqueeze(1),
            50 * torch.randn(len(frames), 300, 40, generator=generator) * mask_BV.unsqueeze(2),
            frames_B,
            [
                torch.randn(shape, generator=generator) * mask_BT.unsqueeze(2)
                for _ in range(streams)
            ],
            [mask_BT] * streams,
        )

    return make


@pytest.fixture(scope="session")
def head() -> Callable[[str, int], CoAttention]:
    """`head("compact", 2)`: a head of that size with two streams, in evaluation mode."""

    @cache
    def make(size: str, streams: int) -> CoAttention:
        torch.manual_seed(3)
        return CoAttention(CLASSES, DIM, ENCODER_FRAMES, streams, SIZES[size])

    return lambda size, streams: make(size, streams).eval()
