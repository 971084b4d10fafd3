"""Random weights from a seed, without a trace in the random state of the rest of the program."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the CPU's random numbers from `seed` inside the block; the state outside is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def initialise(module: nn.Module, seed: int) -> None:
    """Give linear and convolutional layers weights that keep variance from layer to layer.

    Uniform, with the variance of Glorot & Bengio (2010) for linear layers and of He et al. (2015) for
    convolutions; biases are 0. The numbers are drawn by numpy and rounded once, so a seed means the
    same weights on every processor and with every version of torch, which torch does not promise.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            variance = 2 / (layer.in_features + layer.out_features)
        elif isinstance(layer, nn.Conv1d):
            variance = 2 / (layer.in_channels // layer.groups * layer.kernel_size[0])
        else:
            continue
        _fill_uniform(layer.weight, float(np.sqrt(3 * variance)), generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


@torch.no_grad()
def _fill_uniform(weight: Tensor, bound: float, generator: np.random.Generator) -> None:
    drawn = generator.random(weight.shape, dtype=np.float32)
    weight.copy_(torch.from_numpy((2 * drawn - 1) * np.float32(bound)))
