"""Random weights from a seed, without a trace in the random state of the rest of the program."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw the CPU's random numbers from `seed` in the block; the state outside is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
