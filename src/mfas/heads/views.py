"""The two view branches of Co-attention: a spectrogram becomes a code, MFCCs become a code.

Shape legend: B segments, F frequency bins, T frames of 10 ms, C coefficients, K code width.
`frames_B` says how many 10 ms frames of each segment are real.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from mfas.audio import MFCC_COEFFICIENTS, SEGMENT_FRAMES, SPECTROGRAM_BINS
from mfas.heads.alexnet import ALEXNET_FEATURES, AlexNetFeatures
from mfas.heads.sizes import HeadSize

IMAGE_SIZE = (256, 384)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
SMALL_CHANNELS = (16, 32, 64)


class SpectrogramScale(nn.Module):
    """Decibels to [0, 1] per frequency, by the extremes of the training fold; padding becomes 0."""

    minimum_F: Tensor
    maximum_F: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("minimum_F", torch.full((SPECTROGRAM_BINS,), -80.0))
        self.register_buffer("maximum_F", torch.zeros(SPECTROGRAM_BINS))

    def fit(self, minimum_F: Tensor, maximum_F: Tensor) -> None:
        """Take the extremes in dB of each frequency over the training fold."""
        self.minimum_F.copy_(minimum_F)
        self.maximum_F.copy_(torch.maximum(maximum_F, minimum_F + 1e-3))

    def forward(self, spectrogram_BFT: Tensor, frames_B: Tensor) -> Tensor:
        """(B, F, T) dB -> (B, F, T) in [0, 1]; test values beyond the extremes are clamped."""
        span_F1 = (self.maximum_F - self.minimum_F).unsqueeze(-1)
        scaled_BFT = ((spectrogram_BFT - self.minimum_F.unsqueeze(-1)) / span_F1).clamp(0, 1)
        return scaled_BFT * frame_mask(frames_B, spectrogram_BFT.shape[-1]).unsqueeze(1)


class Standard(nn.Module):
    """Zero mean and unit variance per channel, by the statistics of the training fold (choice).

    Until `fit` is called, nothing changes. `channels` may have leading axes, as (levels, D).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, *channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def fit(self, mean: Tensor, std: Tensor) -> None:
        """Take the statistics of each channel over the real frames of the training fold."""
        self.mean.copy_(mean)
        self.std.copy_(std.clamp(min=1e-4))

    def forward(self, values: Tensor, index: int | None = None) -> Tensor:
        """(..., channels) -> the same shape; `index` picks one of the leading axis, as a level."""
        mean, std = (self.mean, self.std) if index is None else (self.mean[index], self.std[index])
        return (values - mean) / std


class AlexNetBranch(nn.Module):
    """Spectrogram as a 3-channel 256 x 384 image -> AlexNet features -> code (paper section 3)."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, code: int, dropout: float) -> None:
        super().__init__()
        self.alexnet = AlexNetFeatures()
        self.project = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(ALEXNET_FEATURES, code), nn.ReLU()
        )
        self.register_buffer(
            "mean_C11", torch.tensor(IMAGENET_MEAN).view(3, 1, 1), persistent=False
        )
        self.register_buffer("std_C11", torch.tensor(IMAGENET_STD).view(3, 1, 1), persistent=False)

    def forward(self, scaled_BFT: Tensor, frames_B: Tensor) -> Tensor:  # noqa: D102
        image_B1HW = F.interpolate(
            scaled_BFT.unsqueeze(1), size=IMAGE_SIZE, mode="bilinear", align_corners=False
        )
        image_B3HW = (image_B1HW.expand(-1, 3, -1, -1) - self.mean_C11) / self.std_C11
        return self.project(self.alexnet(image_B3HW).flatten(1))


class SmallImageBranch(nn.Module):
    """Spectrogram, halved -> three strided convolutions -> mean and maximum over time -> code."""

    def __init__(self, code: int, dropout: float) -> None:
        super().__init__()
        inputs = (1, *SMALL_CHANNELS[:-1])
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    i, o, kernel_size=5 if i == 1 else 3, stride=2, padding=2 if i == 1 else 1
                ),
                nn.ReLU(),
            )
            for i, o in zip(inputs, SMALL_CHANNELS, strict=True)
        )
        self.shrink = 2 ** (1 + len(SMALL_CHANNELS))
        height = -(-SPECTROGRAM_BINS // self.shrink)
        self.project = nn.Sequential(
            nn.LayerNorm(2 * SMALL_CHANNELS[-1] * height),
            nn.Dropout(dropout),
            nn.Linear(2 * SMALL_CHANNELS[-1] * height, code),
            nn.ReLU(),
        )

    def forward(self, scaled_BFT: Tensor, frames_B: Tensor) -> Tensor:  # noqa: D102
        maps_BCFT = F.avg_pool2d(scaled_BFT.unsqueeze(1), kernel_size=2)
        for block in self.blocks:
            maps_BCFT = block(maps_BCFT)
        columns_B = torch.ceil(frames_B / self.shrink).long()
        mask_B11T = frame_mask(columns_B, maps_BCFT.shape[-1])[:, None, None, :]
        mean_BCF = (maps_BCFT * mask_B11T).sum(dim=-1) / mask_B11T.sum(dim=-1)
        maximum_BCF = (maps_BCFT * mask_B11T).amax(dim=-1)
        return self.project(torch.cat([mean_BCF, maximum_BCF], dim=1).flatten(1))


class MfccBranch(nn.Module):
    """MFCCs, L2-normalised over coefficients -> bidirectional LSTM -> code (paper section 3).

    The LSTM runs over real frames only, so its backward direction never reads padding.
    """

    def __init__(self, size: HeadSize, code: int, dropout: float) -> None:
        super().__init__()
        self.pooling = size.mfcc_pooling
        self.stride = size.mfcc_stride
        self.standard = Standard(MFCC_COEFFICIENTS) if size.mfcc_standard else None
        self.lstm = nn.LSTM(
            MFCC_COEFFICIENTS,
            size.lstm_width,
            num_layers=size.lstm_layers,
            dropout=size.lstm_dropout,
            bidirectional=True,
            batch_first=True,
        )
        steps = SEGMENT_FRAMES // self.stride if self.pooling == "flatten" else 1
        pooled = 2 * size.lstm_width * steps
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(pooled, code), nn.ReLU())

    def forward(self, mfcc_BTC: Tensor, frames_B: Tensor) -> Tensor:  # noqa: D102
        mask_BT1 = frame_mask(frames_B, mfcc_BTC.shape[1]).unsqueeze(-1)
        normalised_BTC = F.normalize(mfcc_BTC, dim=-1)
        if self.standard is not None:
            normalised_BTC = self.standard(normalised_BTC)
        steps_BTC = self._steps(normalised_BTC * mask_BT1)
        steps_B = torch.ceil(frames_B / self.stride).long()
        packed = pack_padded_sequence(
            steps_BTC, steps_B.cpu(), batch_first=True, enforce_sorted=False
        )
        hidden_BTK, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=steps_BTC.shape[1]
        )
        if self.pooling == "flatten":
            return self.project(hidden_BTK.flatten(1))
        return self.project(hidden_BTK.sum(dim=1) / steps_B.unsqueeze(-1))

    def _steps(self, mfcc_BTC: Tensor) -> Tensor:
        return F.avg_pool1d(mfcc_BTC.transpose(1, 2), self.stride).transpose(1, 2)


def frame_mask(frames_B: Tensor, total: int) -> Tensor:
    """(B, total) bool: True on the first `frames_B` frames."""
    return torch.arange(total, device=frames_B.device) < frames_B.unsqueeze(-1)
