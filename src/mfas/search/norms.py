"""How large each operation's output is: what its weight in a mixture multiplies.

A supernet and inner-validation utterances enter; root mean squares leave, one an operation and level.
A weight of alpha says little of an operation whose output shrinks or grows while it is searched (DARTS-PT,
arXiv 2108.04392, shows how little), so both are recorded, epoch by epoch.

Shape legend: B segments, T encoder frames, D width.
"""

import itertools
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from mfas.fusion import LEVELS
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.model import MFAS
from mfas.train import SegmentSet

Norms = list[list[float]]  # levels x operations
NORM_BATCHES = 4  # enough for a mean over some hundred segments, and cheap beside an epoch


@torch.no_grad()
def operation_norms(
    model: MFAS, data: SegmentSet, utterances: Sequence[int], size: int, seed: int
) -> Norms:
    """Root mean square over channels, mean over real frames, of each operation's output (3 x 8).

    At most `NORM_BATCHES` batches of `size` segments are read, drawn from `utterances` by `seed`.
    Outputs are those before the weights of the mixture; zero, which a mixture does not compute, is 0.
    """
    assert model.cell is not None, "operations are in the Fusion Cell"
    device = next(model.head.parameters()).device
    recorded = {name: _Mean() for name in itertools.product(LEVELS, OPERATION_NAMES)}
    hooks = [
        cast(nn.ModuleDict, model.cell.operations[level])[name].register_forward_hook(mean)
        for (level, name), mean in recorded.items()
    ]
    was_training = model.training
    model.eval()
    for batch, _, _ in itertools.islice(data.batches(utterances, size, seed), NORM_BATCHES):
        for level in LEVELS:
            model.streams(batch.to(device), level, only="tec")
    model.train(was_training)
    for hook in hooks:
        hook.remove()
    return [[recorded[level, name].value for name in OPERATION_NAMES] for level in LEVELS]


class _Mean:
    """A forward hook that takes the mean size of all real frames that pass."""

    def __init__(self) -> None:
        self.total, self.frames = 0.0, 0

    def __call__(self, operation: nn.Module, inputs: tuple[Any, ...], output_BTD: Tensor) -> None:
        mask_BT: Tensor = inputs[2]
        sizes_BT = output_BTD.float().square().mean(dim=-1).sqrt()
        self.total += float(sizes_BT[mask_BT].sum())
        self.frames += int(mask_BT.sum())

    @property
    def value(self) -> float:
        return self.total / self.frames if self.frames else 0.0
