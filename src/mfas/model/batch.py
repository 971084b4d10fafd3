"""What a model is given: segments with their views, and waveforms or frames encoded before.

Shape legend: B segments, N samples, L levels, T encoder frames, D width, F frequency bins,
V frames of 10 ms, C coefficients.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mfas.audio import Segments
from mfas.encoders import Frames, SpeechEncoder


@dataclass(frozen=True)
class Batch:
    """Some segments, as the model wants them.

    `sec` and `tec` hold frames that were encoded before; where one is missing, the model runs its
    own encoder on `waveforms_BN`. Windows of several segments (`join`) have frames alone.
    """

    spectrograms_BFV: Tensor | None = None
    mfccs_BVC: Tensor | None = None
    frames_B: Tensor | None = None
    samples_B: Tensor | None = None
    waveforms_BN: Tensor | None = None
    sec: Frames | None = None
    tec: Frames | None = None

    @classmethod
    def from_segments(cls, segments: Segments) -> "Batch":
        """All segments of one recording, with the views rounded to float16 as the cache does."""
        return cls(
            spectrograms_BFV=_rounded(segments.spectrograms_SFT),
            mfccs_BVC=_rounded(segments.mfccs_STC),
            frames_B=torch.from_numpy(segments.frames_S),
            samples_B=torch.from_numpy(segments.samples_S),
            waveforms_BN=torch.from_numpy(segments.waveforms_SN),
        )

    def real_frames(self) -> Tensor:
        """Real encoder frames of each row, int64 (B,), where they were encoded before."""
        frames = self.sec if self.sec is not None else self.tec
        assert frames is not None, "nothing was encoded before"
        return frames.mask_BT.sum(1)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        return Batch(**{name: _moved(value, device) for name, value in vars(self).items()})


def join(frames: Frames, segments: int) -> Frames:
    """Frames of segments that follow each other, `segments` of them a window, as one row a window.

    Only the last segment of a window may be shorter than 3 s, so real frames still come first.
    """
    hidden_WLTD = frames.hidden_BLTD.unflatten(0, (-1, segments)).transpose(1, 2).flatten(2, 3)
    return Frames(hidden_WLTD, frames.mask_BT.unflatten(0, (-1, segments)).flatten(1))


def joined(batch: Batch) -> Batch:
    """The frames of all segments of `batch` as those of one window."""
    return Batch(
        sec=None if batch.sec is None else join(batch.sec, len(batch.sec.mask_BT)),
        tec=None if batch.tec is None else join(batch.tec, len(batch.tec.mask_BT)),
    )


class StoredFrames(nn.Module):
    """Stands in an encoder's place when its frames come from the cache; it has no weights."""

    def __init__(self, encoder: SpeechEncoder) -> None:
        super().__init__()
        self.dim = encoder.dim
        self.layers = encoder.layers
        self.frames_per_segment = encoder.frames_per_segment

    def forward(self, waveforms_BN: Tensor, samples_B: Tensor) -> Frames:  # noqa: D102
        raise AssertionError("a batch without stored frames reached a model without encoders")


Stream = SpeechEncoder | StoredFrames


def _rounded(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float16)).float()


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Frames):
        return Frames(value.hidden_BLTD.to(device), value.mask_BT.to(device))
    return None if value is None else value.to(device)
