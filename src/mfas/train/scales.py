"""What a model must know of its training fold before it learns: the scales of its inputs.

Only training utterances are read, and only their real frames. The scales are buffers of the model,
so they are saved with it.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from mfas.heads import RidgeHead
from mfas.heads.views import frame_mask
from mfas.model import MFAS, Batch, Projection
from mfas.train.data import SegmentSet

SEGMENTS_AT_ONCE = 64


def fit_scales(model: MFAS, data: SegmentSet, train: Sequence[int]) -> None:
    """Set the spectrogram's extremes and, where the model has them, means and deviations."""
    if isinstance(model.head, RidgeHead):
        if model.projections:
            _fit_projections(model, data, train)
        return
    extremes = _Extremes()
    mfccs = _Moments()
    frames = {name: _Moments() for name in model.projections if name in data.features.encoded}
    for batch, _, _ in data.batches(train, SEGMENTS_AT_ONCE):
        assert batch.spectrograms_BFV is not None and batch.mfccs_BVC is not None
        assert batch.frames_B is not None, "co-attention reads views"
        mask_BV = frame_mask(batch.frames_B, batch.mfccs_BVC.shape[1])
        extremes.add(batch.spectrograms_BFV.transpose(1, 2)[mask_BV])
        mfccs.add(torch.nn.functional.normalize(batch.mfccs_BVC, dim=-1)[mask_BV])
        for name, moments in frames.items():
            moments.add(torch.stack(list(_real_frames(batch, name)), dim=1))
    model.head.scale.fit(extremes.minimum, extremes.maximum)
    if model.head.mfcc.standard is not None:
        model.head.mfcc.standard.fit(*mfccs.mean_and_std())
    for name, moments in frames.items():
        cast(Projection, model.projections[name]).standard.fit(*moments.mean_and_std())


def _fit_projections(model: MFAS, data: SegmentSet, train: Sequence[int]) -> None:
    """Means and deviations of the frames alone, for a head that reads no views."""
    frames = {name: _Moments() for name in model.projections}
    for batch, _ in data.windows(data.windows_of(train, segments=1), SEGMENTS_AT_ONCE):
        for name, moments in frames.items():
            moments.add(torch.stack(list(_real_frames(batch, name)), dim=1))
    for name, moments in frames.items():
        cast(Projection, model.projections[name]).standard.fit(*moments.mean_and_std())


def _real_frames(batch: Batch, name: str) -> Iterator[Tensor]:
    """The real frames (N, D) of each level."""
    stored = getattr(batch, name)
    for level_BTD in stored.hidden_BLTD.unbind(dim=1):
        yield level_BTD[stored.mask_BT]


class _Extremes:
    """Smallest and largest value of each channel over rows (N, channels)."""

    def __init__(self) -> None:
        self.minimum = torch.tensor(torch.inf)
        self.maximum = torch.tensor(-torch.inf)

    def add(self, rows: Tensor) -> None:
        self.minimum = torch.minimum(self.minimum, rows.amin(dim=0))
        self.maximum = torch.maximum(self.maximum, rows.amax(dim=0))


class _Moments:
    """Mean and standard deviation over rows (N, ...), in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, rows: Tensor) -> None:
        self.count += len(rows)
        self.total = self.total + rows.sum(dim=0, dtype=torch.float64)
        self.squares = self.squares + rows.double().square().sum(dim=0)

    def mean_and_std(self) -> tuple[Tensor, Tensor]:
        mean = torch.as_tensor(self.total / self.count)
        variance = torch.as_tensor(self.squares / self.count) - mean.square()
        return mean.float(), variance.clamp(min=0).sqrt().float()
