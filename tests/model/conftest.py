"""Small encoders, and batches of made-up recordings."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mfas.audio import segment
from mfas.config import Recipe
from mfas.encoders import COMPACT, SpeechEncoder, TransformerEncoder
from mfas.model import Batch


@pytest.fixture(scope="session")
def encoder() -> Callable[..., SpeechEncoder]:
    """`encoder("sec")`: a small encoder of ours, frozen unless told not to."""

    def make(role: str, dim: int = 32, frozen: bool = True) -> SpeechEncoder:
        config = replace(COMPACT, dim=dim, ffn=2 * dim, heads=4, position_groups=4)
        made = TransformerEncoder(config, role, seed=dim + len(role) + (role == "sec"))
        return made.freeze() if frozen else made

    return make


@pytest.fixture(scope="session")
def batch(voice: Callable[..., np.ndarray]) -> Batch:
    """Three segments of 7 seconds: two whole ones, and one of a second."""
    return Batch.from_segments(segment(voice(7 * 16_000)))


@pytest.fixture(scope="session")
def recipe() -> Callable[..., Recipe]:
    """`recipe(fusion={"dim": 20})`: the default recipe with other values."""
    return lambda **tables: Recipe.model_validate(tables)
