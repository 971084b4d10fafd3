"""Every random choice follows from the recipe's seed and the name of what is chosen."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(*parts: object) -> int:
    """A 63-bit seed from any printable parts, as `derive_seed(0, "fold 03", "search", epoch)`."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def shuffled(count: int, seed: int) -> list[int]:
    """The numbers 0 to count - 1 in an order that follows from `seed`."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Inside the block, dropout and the like draw from `seed` on every device; outside, as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
