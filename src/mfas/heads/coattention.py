"""Co-attention: what the views say decides which encoder frames count (arXiv 2306.09361, section 3).

Two streams (MFAS): the spectrogram and MFCC codes are twice as wide; one half of each weighs the
SEC frames, the other half the adjusted TEC frames. One stream (Co-attention, Zou et al. 2022): the
same with one set of frames.

    spectrogram -> image network -> code (2K) --+--------------------------------------+
                                      | halves  |                                      |
    MFCC -> biLSTM -> code (2K) ------+---------|---------------------------+          |
                                      v         v                           v          v
    SEC frames --- x weights(first halves) ---> sum -> code (K) ---> [2K + 2K + K + K] -> classes
    TEC frames --- x weights(second halves) --> sum -> code (K) --->

Shape legend: B segments, F frequency bins, V frames of 10 ms, C coefficients, T encoder frames,
D encoder width, K code width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mfas.heads.sizes import SIZES, HeadSize
from mfas.heads.views import AlexNetBranch, MfccBranch, SmallImageBranch, SpectrogramScale


class FrameAttention(nn.Module):
    """One co-attention: view codes (B, 2K) weigh frames (B, T, D) into a code (B, K)."""

    def __init__(self, dim: int, frames: int, code: int, dropout: float) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Dropout(dropout), nn.Linear(2 * code, frames), nn.ReLU())
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, code), nn.ReLU())

    def forward(self, views_BK: Tensor, frames_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: D102
        weights_BT = self.weigh(views_BK) * mask_BT
        return self.project(torch.einsum("bt,btd->bd", weights_BT, frames_BTD))


class CoAttention(nn.Module):
    """The emotion analysis head: `streams` sets of frames of width `dim`, `frames` a segment."""

    def __init__(
        self, classes: int, dim: int, frames: int, streams: int, size: HeadSize = SIZES["paper"]
    ) -> None:
        super().__init__()
        self.streams = streams
        width = streams * size.code
        branch = AlexNetBranch if size.image == "alexnet" else SmallImageBranch
        self.scale = SpectrogramScale()
        self.image = branch(width, size.dropout)
        self.mfcc = MfccBranch(size, width, size.dropout)
        self.attend = nn.ModuleList(
            FrameAttention(dim, frames, size.code, size.dropout) for _ in range(streams)
        )
        self.classify = nn.Sequential(
            nn.Dropout(size.dropout),
            nn.Linear(3 * width, size.code),
            nn.ReLU(),
            nn.Linear(size.code, size.code),
            nn.ReLU(),
            nn.Linear(size.code, classes),
        )

    def forward(
        self,
        spectrogram_BFV: Tensor,
        mfcc_BVC: Tensor,
        frames_B: Tensor,
        streams_BTD: Sequence[Tensor],
        masks_BT: Sequence[Tensor],
    ) -> Tensor:
        """Class log-probabilities (B, classes).

        spectrogram_BFV in dB (B, 200, 300), mfcc_BVC (B, 300, 40), frames_B real 10 ms frames;
        one (B, T, D) tensor and one (B, T) mask a stream, in the order SEC, TEC.
        """
        image_BK = self.image(self.scale(spectrogram_BFV, frames_B), frames_B)
        mfcc_BK = self.mfcc(mfcc_BVC, frames_B)
        attended = [
            attend(torch.cat(halves, dim=-1), stream_BTD, mask_BT)
            for attend, halves, stream_BTD, mask_BT in zip(
                self.attend,
                zip(image_BK.chunk(self.streams, -1), mfcc_BK.chunk(self.streams, -1), strict=True),
                streams_BTD,
                masks_BT,
                strict=True,
            )
        ]
        logits = self.classify(torch.cat([image_BK, mfcc_BK, *attended], dim=-1))
        return F.log_softmax(logits.float(), dim=-1)
