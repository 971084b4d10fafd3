"""Two ways to show an encoder a part of the frames and have it guess what the rest would be.

Features and a mask enter, guesses for every frame leave; only those of masked frames count.

- `MaskedStudent` (MFAS, arXiv 2306.09361, section 4; data2vec, arXiv 2202.03555): all frames, the
  masked ones replaced by one learned vector; linear guesses from the last hidden state.
- `VisibleStudent` (data2vec 2.0, arXiv 2212.07525): the masked frames are left out of the layers,
  which saves most of their work; a small convolutional decoder fills the gaps.

Shape legend: R rows, T frames, V visible frames of each row, D width, O outputs.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfas.encoders import TransformerEncoder
from mfas.encoders.seeds import initialise

DECODER_LAYERS = 3
DECODER_KERNEL = 7
DECODER_GROUPS = 16


class MaskedStudent(nn.Module):
    """Sees a learned vector where frames are masked."""

    def __init__(self, encoder: TransformerEncoder, outputs: Sequence[int], seed: int) -> None:
        super().__init__()
        self.mask_embedding_D = nn.Parameter(torch.zeros(encoder.dim))
        self.guesses = nn.ModuleList(nn.Linear(encoder.dim, width) for width in outputs)
        initialise(self, seed)

    def forward(
        self, encoder: TransformerEncoder, features_RTD: Tensor, mask_RT: Tensor, visible: int
    ) -> list[Tensor]:
        """(R, T, D), (R, T) -> one (R, T, O) for each of the outputs."""
        del visible
        mask_embedding_D = self.mask_embedding_D.to(features_RTD.dtype)
        seen_RTD = torch.where(mask_RT[..., None], mask_embedding_D, features_RTD)
        positioned_RTD = encoder.position(seen_RTD, torch.ones_like(mask_RT))
        hidden_RTD = encoder.transform(positioned_RTD, None)[-1].hidden_BTD
        return [guess(hidden_RTD) for guess in self.guesses]


class VisibleStudent(nn.Module):
    """Sees the unmasked frames alone; every row must have as many of them."""

    def __init__(self, encoder: TransformerEncoder, outputs: Sequence[int], seed: int) -> None:
        super().__init__()
        self.gap_D = nn.Parameter(torch.zeros(encoder.dim))
        self.layers = nn.ModuleList(_DecoderLayer(encoder.dim) for _ in range(DECODER_LAYERS))
        self.guesses = nn.ModuleList(nn.Linear(encoder.dim, width) for width in outputs)
        initialise(self, seed)

    def forward(
        self, encoder: TransformerEncoder, features_RTD: Tensor, mask_RT: Tensor, visible: int
    ) -> list[Tensor]:
        """(R, T, D), (R, T) with `visible` unmasked frames a row -> one (R, T, O) an output."""
        positioned_RTD = encoder.position(features_RTD, ~mask_RT)
        first_RV = mask_RT.to(torch.uint8).argsort(dim=1, stable=True)[:, :visible]
        index_RVD = first_RV[..., None].expand(-1, -1, features_RTD.shape[-1])
        seen_RVD = positioned_RTD.gather(1, index_RVD)
        hidden_RVD = encoder.transform(seen_RVD, None)[-1].hidden_BTD
        gaps_RTD = self.gap_D.to(hidden_RVD.dtype).expand(*mask_RT.shape, -1)
        filled_RTD = gaps_RTD.scatter(1, index_RVD, hidden_RVD)
        for layer in self.layers:
            filled_RTD = layer(filled_RTD)
        return [guess(filled_RTD) for guess in self.guesses]


class _DecoderLayer(nn.Module):
    """A grouped convolution over time with a residual and a layer norm."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            dim, dim, DECODER_KERNEL, padding=DECODER_KERNEL // 2, groups=DECODER_GROUPS
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, hidden_RTD: Tensor) -> Tensor:
        """(R, T, D) -> (R, T, D)."""
        changed_RDT = F.gelu(self.convolution(hidden_RTD.transpose(1, 2)))
        return self.norm(hidden_RTD + changed_RDT.transpose(1, 2))
