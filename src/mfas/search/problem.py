"""What a searcher is given, and what it must answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mfas.config import SearchSection, TrainSection
from mfas.fusion import LEVELS, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.heads.ridge import Condition
from mfas.model import MFAS
from mfas.train import SegmentSet
from mfas.train.loop import Log

ModelFactory = Callable[[Strategy | None, int], MFAS]


@dataclass(frozen=True)
class SearchProblem:
    """One fold's search.

    `make_model(strategy, seed)` gives a fresh model: a mixture of all operations for None, else
    that strategy alone. `train` and `validation` are utterances, none of them of the test fold.
    `folder` is where a search that is interrupted finds what it had done. A head in closed form is
    solved for `condition`.
    """

    make_model: ModelFactory
    data: SegmentSet
    train: Sequence[int]
    validation: Sequence[int]
    settings: SearchSection
    training: TrainSection
    seed: int
    log: Log
    folder: Path | None = None
    condition: Condition = "plain"


@dataclass(frozen=True)
class SearchResult:
    """A strategy and the evidence for it.

    `weights`: 3 x 8 operation weights, rows sum to 1 (None where a method has none). `scores`:
    inner-validation UA of each path that was scored, keyed "level:operation". `trajectory`: the
    weights after each epoch. `norms`: the size of each operation's output then, 3 x 8 (`norms.py`).
    `without`: UA of a level's mixture without an operation (`perturbation.py`).
    """

    strategy: Strategy
    method: str
    scores: dict[str, float]
    seconds: float
    weights: list[list[float]] | None = None
    trajectory: tuple[list[list[float]], ...] = ()
    norms: tuple[list[list[float]], ...] = ()
    without: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The result as `strategies.json` holds it."""
        return {
            "method": self.method,
            "level": self.strategy.level,
            "operation": self.strategy.operation,
            "strategy": {"level": self.strategy.level, "operation": self.strategy.operation},
            "levels": list(LEVELS),
            "operations": list(OPERATION_NAMES),
            "weights": self.weights,
            "scores": self.scores,
            "trajectory": list(self.trajectory),
            "norms": list(self.norms),
            "without": self.without,
            "seconds": round(self.seconds, 1),
        }


Searcher = Callable[[SearchProblem], SearchResult]
