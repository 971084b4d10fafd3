"""One file that holds where a fit stands: weights, optimiser state and scores, never pickled.

Tensors are stored as safetensors, everything else as JSON in the file's header. Randomness needs no
storing: every epoch draws its numbers from a seed of its own (`train.seeds`), so a fit that resumes
after an epoch is bit for bit the fit that was never interrupted.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from mfas.storage import atomic_path


@dataclass(frozen=True)
class Checkpoint:
    """Named tensors and JSON-able facts."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors whose names start with `name.`, without that start."""
        start = f"{name}."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, whole or not at all."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"facts": json.dumps(checkpoint.facts)})


def load_checkpoint(path: Path) -> Checkpoint | None:
    """Read a checkpoint; None where there is none."""
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as content:
        facts = json.loads(content.metadata()["facts"])
        return Checkpoint({name: content.get_tensor(name) for name in content.keys()}, facts)  # noqa: SIM118


def named_tensors(part: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under names that start with `part.`."""
    return {f"{part}.{name}": tensor.detach() for name, tensor in tensors.items()}


def trainable_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict without the weights of frozen encoders, which no training changes."""
    frozen = tuple(
        f"{name}."
        for name in ("sec", "tec")
        if (encoder := getattr(model, name, None)) is not None
        and not any(p.requires_grad for p in encoder.parameters())
    )
    return {k: v for k, v in model.state_dict().items() if not k.startswith(frozen)}


def optimizer_tensors(part: str, optimizer: Optimizer) -> dict[str, Tensor]:
    """The state of AdamW or SGD as tensors named `part.<parameter index>.<entry>`."""
    return {
        f"{part}.{index}.{entry}": torch.as_tensor(value).detach()
        for index, entries in optimizer.state_dict()["state"].items()
        for entry, value in entries.items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put tensors of `optimizer_tensors` (without their part's name) back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, entry = name.split(".", 1)
        state.setdefault(int(index), {})[entry] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
