"""The learning rate over a run: linear warm-up, then a cosine down to a share of the highest."""

import math
from collections.abc import Iterable

from torch import nn

from mfas.config import OptimizeSection


def learning_rate(settings: OptimizeSection, update: int) -> float:
    """The rate of update number `update`, counted from 0."""
    warmup = round(settings.warmup * settings.updates)
    if update < warmup:
        return settings.lr * (update + 1) / warmup
    done = (update - warmup) / max(1, settings.updates - warmup)
    share = settings.final + (1 - settings.final) * (1 + math.cos(math.pi * done)) / 2
    return settings.lr * share


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; biases, norms and learned vectors do not, as is usual for transformers."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": _with(trained, matrix=True), "weight_decay": weight_decay},
        {"params": _with(trained, matrix=False), "weight_decay": 0.0},
    ]


def _with(parameters: Iterable[nn.Parameter], matrix: bool) -> list[nn.Parameter]:
    return [parameter for parameter in parameters if (parameter.ndim > 1) == matrix]
