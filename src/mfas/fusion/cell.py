"""The Fusion Cell: TEC adjusted by a weighted mixture of operations (arXiv 2306.09361, eq. (6)).

TEC frames x and SEC frames S_l of one level l enter; x' = sum_i softmax(alpha_l)_i o_i(x, S_l)
leaves. Each level has operation modules of its own. The lower levels are detached, so that no
gradient of the adjustment reaches the SEC encoder through them; the last level is not.

Shape legend: B segments, T encoder frames, D width.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from mfas.fusion.operations import IsmForm, make_operations
from mfas.fusion.strategy import LEVELS, OPERATION_NAMES, Strategy


class FusionCell(nn.Module):
    """A mixture of all operations at each level, or (`from_strategy`) one operation at one level.

    `residual` adds x and normalises, LayerNorm(x + x'): off by default (choice).
    """

    def __init__(
        self,
        dim: int,
        *,
        dropout: float = 0.1,
        ism_form: IsmForm = "x+y*g(y)",
        residual: bool = False,
        only: Strategy | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.only, self.ism_form = only, ism_form
        self._removed: str | None = None
        available = make_operations(dropout, ism_form)
        self.operations = nn.ModuleDict(
            {
                level: nn.ModuleDict(
                    {
                        name: available[name](dim)
                        for name in OPERATION_NAMES
                        if _kept(only, level, name)
                    }
                )
                for level in LEVELS
                if only is None or level == only.level
            }
        )
        self.alpha = nn.Parameter(torch.zeros(len(LEVELS), len(OPERATION_NAMES)))
        if only is not None:
            self.alpha.requires_grad_(False)
        self.norm = nn.LayerNorm(dim) if residual else None

    @classmethod
    def from_strategy(cls, strategy: Strategy, dim: int, **options: object) -> "FusionCell":
        """A cell that holds only the operation of `strategy`; options as for the constructor."""
        return cls(dim, only=strategy, **options)  # type: ignore[arg-type]

    def forward(
        self,
        tec: Tensor,
        sec: Tensor,
        level: str,
        mask: Tensor | None = None,
        operation: str | None = None,
        *,
        detach: bool = True,
    ) -> Tensor:
        """Adjust `tec` (B, T, D) by `sec` (B, T, D), the frames of `level`; gives (B, T, D).

        `mask` (B, T) is True on real frames (default: all). `operation` takes that single path of
        the mixture instead of the whole, as in evaluating its one-hot strategy. `detach=False` is
        for a caller that has cut the lower levels off the encoder itself, before layers of its own.
        """
        if level not in self.operations:
            raise ValueError(f"level {level!r}: this cell has {', '.join(self.operations)}")
        mask_BT = (
            torch.ones(tec.shape[:2], dtype=torch.bool, device=tec.device) if mask is None else mask
        )
        level_sec = sec if level == "last" or not detach else sec.detach()
        if operation is None and self.only is not None:
            operation = self.only.operation
        if operation is None:
            adjusted = self._mixture(tec, level_sec, level, mask_BT)
        else:
            adjusted = self._of(level)[operation](tec, level_sec, mask_BT)
        return adjusted if self.norm is None else self.norm(tec + adjusted) * mask_BT.unsqueeze(-1)

    def _mixture(self, tec: Tensor, sec: Tensor, level: str, mask_BT: Tensor) -> Tensor:
        weights = torch.softmax(self.alpha[LEVELS.index(level)], dim=-1)
        mixed = torch.zeros_like(tec)
        for weight, (name, operation) in zip(weights, self._of(level).items(), strict=True):
            if name not in ("zero", self._removed):
                mixed = mixed + weight * operation(tec, sec, mask_BT)
        return mixed

    @contextmanager
    def without(self, operation: str) -> Iterator[None]:
        """Inside the block mixtures lack `operation`; the weights of the others stay as they are."""
        assert operation in OPERATION_NAMES, operation
        self._removed = operation
        try:
            yield
        finally:
            self._removed = None

    def _of(self, level: str) -> nn.ModuleDict:
        return cast(nn.ModuleDict, self.operations[level])

    def weights(self) -> Tensor:
        """Operation weights, (3, 8): softmax of alpha per level; one-hot rows in a fixed cell.

        In a fixed cell every row shows the one operation it has.
        """
        if self.only is None:
            return torch.softmax(self.alpha.detach(), dim=-1)
        one_hot = torch.zeros_like(self.alpha)
        one_hot[:, OPERATION_NAMES.index(self.only.operation)] = 1
        return one_hot

    def heaviest(self) -> tuple[Strategy, ...]:
        """Each level's operation of the largest weight, the first of equals, as a strategy."""
        return tuple(
            Strategy(level, OPERATION_NAMES[row.index(max(row))])
            for level, row in zip(LEVELS, self.weights().tolist(), strict=True)
        )

    def strategy(self, level_scores: Mapping[str, float] | None = None) -> Strategy:
        """The strategy that the cell stands for.

        Each level's operation is the one of the largest weight. Weights of different levels cannot
        be compared (each level's softmax sums to 1), so the level is the one of the best
        `level_scores`: the inner-validation scores of the three one-hot paths. Without scores the
        level whose weights are the most decided (least entropy) is taken: a reading for looking
        at a cell, which no searcher uses.
        """
        if self.only is not None:
            return self.only
        if level_scores is None:
            weights = self.weights()
            decided = torch.xlogy(weights, weights).sum(dim=-1)
            level_scores = dict(zip(LEVELS, decided.tolist(), strict=True))
        return max(self.heaviest(), key=lambda strategy: level_scores[strategy.level])


def _kept(only: Strategy | None, level: str, operation: str) -> bool:
    return only is None or only == Strategy(level, operation)
