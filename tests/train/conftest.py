from collections.abc import Callable

import pytest

from mfas.config import TrainSection
from mfas.evaluate.experiment import Experiment
from mfas.fusion import Strategy
from mfas.model import MFAS


@pytest.fixture
def make_model(experiment: Experiment) -> Callable[..., MFAS]:
    """A fresh model with one operation: `make_model(seed=3)`."""

    def make(seed: int = 0, strategy: Strategy = Strategy("last", "sum")) -> MFAS:  # noqa: B008
        return experiment.make_model(strategy, seed)

    return make


@pytest.fixture
def said_by(experiment: Experiment) -> Callable[..., tuple[int, ...]]:
    """The utterances of some speakers: `said_by("ann", "bob")`."""

    def indices(*speakers: str) -> tuple[int, ...]:
        return tuple(i for i, u in enumerate(experiment.manifest) if u.speaker in speakers)

    return indices


@pytest.fixture
def settings() -> Callable[..., TrainSection]:
    def make(**changes: object) -> TrainSection:
        return TrainSection(**({"epochs": 3, "batch": 8, "device": "cpu"} | changes))

    return make
