"""TEC and SEC frames with a mask."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

DIM = 12


@pytest.fixture(scope="session")
def frames() -> Callable[..., tuple[Tensor, Tensor, Tensor]]:
    """`frames([9, 4])`: TEC and SEC frames (B, T, 12), zero behind the ends, and their mask."""

    def make(lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        longest = max(lengths)
        tec, sec = torch.randn(2, len(lengths), longest, DIM, generator=generator)
        mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
        return tec * mask.unsqueeze(-1), sec * mask.unsqueeze(-1), mask

    return make
