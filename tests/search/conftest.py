from collections.abc import Callable
from typing import Any

import pytest

from mfas.config import SearchSection, TrainSection
from mfas.search import SearchProblem


@pytest.fixture(scope="session")
def by_speaker(experiment: Any) -> Callable[..., tuple[int, ...]]:
    """The utterances of some speakers: `by_speaker("ann", "bob")`."""

    def indices(*speakers: str) -> tuple[int, ...]:
        return tuple(i for i, u in enumerate(experiment.manifest) if u.speaker in speakers)

    return indices


@pytest.fixture(scope="session")
def make_problem(experiment: Any, by_speaker: Any) -> Callable[..., SearchProblem]:
    """Train on ann and bob, choose on cid; dot is the test speaker and nobody's business."""

    def make(**changes: Any) -> SearchProblem:
        training = TrainSection(batch=8, device="cpu", accumulate=changes.pop("accumulate", 1))
        settings = SearchSection(**({"epochs": 2} | changes.pop("settings", {})))
        fields = {
            "make_model": experiment.make_model,
            "data": experiment.data,
            "train": by_speaker("ann", "bob"),
            "validation": by_speaker("cid"),
            "settings": settings,
            "training": training,
            "seed": 0,
            "log": lambda facts: None,
        }
        return SearchProblem(**(fields | changes))

    return make
