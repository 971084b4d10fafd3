"""Feature frames become hidden states: a convolutional position embedding and transformer layers.

Layers normalise after each residual (post-norm), as the base models of wav2vec 2.0 (arXiv
2006.11477) and data2vec (arXiv 2202.03555) do: every level then leaves through a layer norm, so the
levels that the Fusion Cell adds and compares share one scale. With four layers it trains without
the trouble that post-norm has in deep stacks.

Choice: dropout acts on residual branches and inside the feed-forward part, not on attention weights
as in wav2vec 2.0; the fused attention kernels of CPUs have no dropout, and a step with it takes a
third longer.

Shape legend: B segments, T encoder frames, D width, H heads, E width of a head.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from mfas.encoders.settings import EncoderConfig


@dataclass(frozen=True)
class LayerOutput:
    """One layer: hidden_BTD, and ffn_BTD before its residual (the targets of data2vec)."""

    hidden_BTD: Tensor
    ffn_BTD: Tensor


class PositionEmbedding(nn.Module):
    """Adds a grouped convolution over time, then normalises (wav2vec 2.0)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(
            config.dim,
            config.dim,
            config.position_kernel,
            padding=config.position_kernel // 2,
            groups=config.position_groups,
        )
        self.norm = nn.LayerNorm(config.dim)

    def forward(self, features_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D). Masked frames count as zeros, as if the segment ended there."""
        features_BTD = features_BTD.masked_fill(~mask_BT[..., None], 0)
        position_BDT = self.convolution(features_BTD.transpose(1, 2))
        position_BDT = position_BDT[..., : features_BTD.shape[1]]  # an even kernel gives one more
        positioned_BTD = features_BTD + F.gelu(position_BDT).transpose(1, 2)
        return self.norm(positioned_BTD)


class TransformerLayer(nn.Module):
    """Self-attention and a feed-forward part, each with a residual and a layer norm after it."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query_key_value = nn.Linear(config.dim, 3 * config.dim)
        self.attention_output = nn.Linear(config.dim, config.dim)
        self.attention_norm = nn.LayerNorm(config.dim)
        self.ffn_input = nn.Linear(config.dim, config.ffn)
        self.ffn_output = nn.Linear(config.ffn, config.dim)
        self.ffn_norm = nn.LayerNorm(config.dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden_BTD: Tensor, mask_BT: Tensor | None) -> LayerOutput:
        """(B, T, D) -> (B, T, D); no frame attends to masked ones. No mask: all frames are real."""
        attended_BTD = self.dropout(self._attend(hidden_BTD, mask_BT))
        hidden_BTD = self.attention_norm(hidden_BTD + attended_BTD)
        ffn_BTD = self.ffn_output(self.dropout(F.gelu(self.ffn_input(hidden_BTD))))
        return LayerOutput(self.ffn_norm(hidden_BTD + self.dropout(ffn_BTD)), ffn_BTD)

    def _attend(self, hidden_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
        projected = self.query_key_value(hidden_BTD).chunk(3, dim=-1)
        query_BHTE, key_BHTE, value_BHTE = (
            part_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part_BTD in projected
        )
        attended_BHTE = F.scaled_dot_product_attention(
            query_BHTE,
            key_BHTE,
            value_BHTE,
            attn_mask=None if mask_BT is None else mask_BT[:, None, None, :],
        )
        return self.attention_output(attended_BHTE.transpose(1, 2).flatten(2))


def run_layers(
    blocks: Iterable[nn.Module], hidden_BTD: Tensor, mask_BT: Tensor | None
) -> list[LayerOutput]:
    """The output of each layer, in order."""
    outputs: list[LayerOutput] = []
    for block in blocks:
        outputs.append(block(hidden_BTD, mask_BT))
        hidden_BTD = outputs[-1].hidden_BTD
    return outputs
