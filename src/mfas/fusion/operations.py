"""The eight operations of the search space (arXiv 2306.09361, section 5.1, eqs. (1) to (5)).

Each takes x (TEC frames) and y (SEC frames of one level) and gives a tensor of x's shape. The
equations are lost in the paper's text; what stands here is a reconstruction:

    zero         0                                        reconstruction
    sum          x + y                                    reconstruction
    attention    softmax(x y^T / sqrt(d)) y               reconstruction
    concat_fc    dropout(ReLU(norm(W [x; y] + b)))        as in BM-NAS (arXiv 2104.09379)
    ism          x + y * g(y)                             "information supplement module", reconstruction
                 g(y) = sigmoid(conv1d_k3 over channels of mean_T(y)), a gate as in ECA (arXiv 1910.03151)
    ..._r        the same with x and y exchanged          the paper says so

Norm is LayerNorm (choice): batch statistics gathered inside a mixture mislead single paths.

Shape legend: B segments, T encoder frames, D width. `mask_BT` is True on real frames; masked frames
neither contribute to an output nor carry one (they are 0).
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GATE_KERNEL = 3
IsmForm = Literal["x+y*g(y)", "x+y*g(x)", "x*g(y)"]


class Zero(nn.Module):
    """No contribution: 0."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor, y_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: D102
        return torch.zeros_like(x_BTD)


class Sum(nn.Module):
    """x + y."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor, y_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: D102
        return (x_BTD + y_BTD) * mask_BT.unsqueeze(-1)


class Attention(nn.Module):
    """softmax(x y^T / sqrt(d)) y: every frame of x gathers from the frames of y. No weights."""

    def __init__(self, dim: int) -> None:
        super().__init__()

    def forward(self, x_BTD: Tensor, y_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: D102
        gathered_BTD = F.scaled_dot_product_attention(
            x_BTD, y_BTD, y_BTD, attn_mask=mask_BT.unsqueeze(1)
        )
        return gathered_BTD * mask_BT.unsqueeze(-1)


class ConcatFC(nn.Module):
    """dropout(ReLU(norm(W [x; y] + b))), 2 D -> D."""

    def __init__(self, dim: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, y_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: D102
        joined_BTD = self.norm(self.linear(torch.cat([x_BTD, y_BTD], dim=-1)))
        return self.dropout(F.relu(joined_BTD)) * mask_BT.unsqueeze(-1)


class InformationSupplement(nn.Module):
    """x + y * g(y); `form` also offers x + y * g(x) and x * g(y), which the paper's text allows."""

    def __init__(self, dim: int, form: IsmForm = "x+y*g(y)") -> None:
        super().__init__()
        self.form = form
        self.convolution = nn.Conv1d(1, 1, GATE_KERNEL, padding=GATE_KERNEL // 2)

    def gate(self, source_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """One weight per channel, (B, 1, D): the channels' means over real frames, mixed locally."""
        mask_BT1 = mask_BT.unsqueeze(-1)
        total_B1D = (source_BTD * mask_BT1).sum(dim=1, keepdim=True)
        return torch.sigmoid(self.convolution(total_B1D / mask_BT1.sum(dim=1, keepdim=True)))

    def forward(self, x_BTD: Tensor, y_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: D102
        if self.form == "x*g(y)":
            supplemented_BTD = x_BTD * self.gate(y_BTD, mask_BT)
        else:
            gate_B1D = self.gate(y_BTD if self.form == "x+y*g(y)" else x_BTD, mask_BT)
            supplemented_BTD = x_BTD + y_BTD * gate_B1D
        return supplemented_BTD * mask_BT.unsqueeze(-1)


class Reversed(nn.Module):
    """The same operation with its inputs exchanged."""

    def __init__(self, operation: Callable[[int], nn.Module], dim: int) -> None:
        super().__init__()
        self.operation = operation(dim)

    def forward(self, x_BTD: Tensor, y_BTD: Tensor, mask_BT: Tensor) -> Tensor:  # noqa: D102
        return self.operation(y_BTD, x_BTD, mask_BT)


def make_operations(
    dropout: float = 0.1, ism_form: IsmForm = "x+y*g(y)"
) -> dict[str, Callable[[int], nn.Module]]:
    """The eight operations in the paper's order, each a constructor that takes the width D."""
    concat_fc = partial(ConcatFC, dropout=dropout)
    ism = partial(InformationSupplement, form=ism_form)
    return {
        "zero": Zero,
        "sum": Sum,
        "attention": Attention,
        "attention_r": partial(Reversed, Attention),
        "concat_fc": concat_fc,
        "concat_fc_r": partial(Reversed, concat_fc),
        "ism": ism,
        "ism_r": partial(Reversed, ism),
    }


OPERATIONS = make_operations()
