from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mfas.config import SearchSection, TrainSection, parse_recipe
from mfas.fusion import Strategy
from mfas.model import StoredFrames, build_model
from mfas.search import SearchProblem
from mfas.train import Features, SegmentSet

PLANTED, PLANTED_FRAMES, PLANTED_DIM = 80, 20, 16


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


@dataclass(frozen=True)
class Planted:
    """A problem with one right answer: `SearchProblem`s, and the strategy that they must find."""

    make: Callable[..., SearchProblem]
    answer: Strategy


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Utterances whose class stands in a single frame of the middle level, which only looking finds.

    Every frame of that level names a class, and one of them, marked by a direction that TEC frames share,
    names the right one. attention looks for the marked frame; sums drown it; the other levels are noise.
    """
    folder = tmp_path_factory.mktemp("planted")
    generator = np.random.default_rng(0)
    targets = [number % 2 for number in range(PLANTED)]
    paths = [_plant(folder, number, target, generator) for number, target in enumerate(targets)]
    counts = tuple(np.array([PLANTED_FRAMES]) for _ in paths)
    features = Features(
        audio_hashes=tuple(str(number) for number in range(PLANTED)),
        samples=tuple(np.array([48_000]) for _ in paths),
        frames=tuple(np.array([30]) for _ in paths),
        views=tuple(views for views, _, _ in paths),
        waveforms=(),
        encoded={"sec": tuple(p[1] for p in paths), "tec": tuple(p[2] for p in paths)},
        encoded_frames={"sec": counts, "tec": counts},
    )
    recipe = parse_recipe({"head": {"dropout": 0.0}})
    stream = StoredFrames(
        SimpleNamespace(dim=PLANTED_DIM, layers=(1, 2, 3), frames_per_segment=PLANTED_FRAMES)
    )

    def make(**changes: Any) -> SearchProblem:
        fields = {
            "make_model": lambda only, seed: build_model(recipe, stream, stream, 2, only, seed),
            "data": SegmentSet(features, tuple(targets), 2),
            "train": range(48),
            "validation": range(48, PLANTED),
            "settings": SearchSection(**({"epochs": 8, "lr": 5e-3} | changes.pop("settings", {}))),
            "training": TrainSection(batch=8, device="cpu"),
            "seed": 0,
            "log": lambda facts: None,
        }
        return SearchProblem(**(fields | changes))

    return Planted(make, Strategy("middle", "attention"))


def _plant(
    folder: Path, number: int, target: int, generator: np.random.Generator
) -> tuple[Path, Path, Path]:
    """Write one segment's views, SEC levels and TEC frames."""
    marked, *named = 6 * np.eye(PLANTED_DIM)[:3]
    views = np.zeros((1, 240, 300))  # nothing to learn by heart
    sec = 0.1 * generator.normal(size=(1, 3, PLANTED_FRAMES, PLANTED_DIM))
    tec = 0.1 * generator.normal(size=(1, 3, PLANTED_FRAMES, PLANTED_DIM)) + marked
    frame = generator.integers(PLANTED_FRAMES)
    said = generator.integers(2, size=PLANTED_FRAMES)
    said[frame] = target
    sec[0, 1] += np.stack([named[k] for k in said])
    sec[0, 1, frame] += marked
    written = []
    for name, array in (("views", views), ("sec", sec), ("tec", tec)):
        path = folder / f"{number}-{name}.npy"
        np.save(path, array.astype(np.float16))
        written.append(path)
    return written[0], written[1], written[2]
