"""What a run folder says, as frozen dataclasses.

Nothing is computed here: each class mirrors one file of the folder, or one row of it, and its
annotations are what `mfas.report.reading` checks the file against. Scores are shares (0 to 1).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

Share = Annotated[float, Field(ge=0, le=1.000001)]  # float32 softmax may end a hair above 1
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]
Interval = tuple[Share, Share]
Weights = tuple[tuple[Share, ...], ...]
Norms = tuple[tuple[Annotated[float, Field(ge=0)], ...], ...]
Name = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)
]


@dataclass(frozen=True)
class Strategy:
    """One level of SEC and the operation that adjusts TEC by it."""

    level: Literal["first", "middle", "last"]
    operation: str

    def __str__(self) -> str:
        return f"{self.level}:{self.operation}"


@dataclass(frozen=True)
class Fold:
    """One fold of result.json; `ua` is over the classes that its test part holds."""

    fold: Name
    test_speakers: tuple[Name, ...]
    n: Count
    ua: Share
    wa: Share
    strategy: Strategy | None


@dataclass(frozen=True)
class Encoder:
    """Which encoder filled a place, and whether its weights ever saw speech."""

    name: str
    trained: bool
    finetuned: bool
    fingerprint: str


@dataclass(frozen=True)
class Encoders:
    """The two places of the system; None where nothing stands."""

    sec: Encoder | None
    tec: Encoder | None


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """search.json: what was run on what. A cross-validation says it in result.json."""

    name: str
    protocol: Annotated[str, Field(pattern=r"^(loso|lospo|kfold10|groups:\d+)$")]
    selection: Literal["inner", "paper"]
    condition: Literal["plain", "adapted"] = "plain"
    honest: bool
    leaks: tuple[str, ...]
    n_utterances: Count
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    seeds: tuple[int, ...]
    encoders: Encoders
    peak_rss_mb: Seconds | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Result(Conditions):
    """result.json. `confusion` has true classes as rows; intervals are over speakers."""

    ua: Share
    wa: Share
    macro_f1: Share
    ua_ci95: Interval
    wa_ci95: Interval
    folds: Annotated[tuple[Fold, ...], Field(min_length=1)]
    confusion: tuple[tuple[Count, ...], ...]
    manifest_sha256: str
    folds_sha256: str
    seconds: Seconds
    files: dict[str, str] | None = None


@dataclass(frozen=True)
class Search:
    """One entry of strategies.json: what one search saw, and what it chose.

    `weights` is levels x operations (rows sum to 1), None where nothing was weighed; `trajectory`
    holds the weights after each epoch; `scores` are inner-validation UA of one-hot paths, keyed
    "level:operation". `norms` holds the size of each operation's output after each epoch, as levels x
    operations; older runs have none. A fixed strategy has neither levels nor operations nor seconds.
    """

    fold: Name
    seed: int
    method: Literal["darts", "single_path", "perturbation", "random", "exhaustive", "fixed"]
    strategy: Strategy | None
    weights: Weights | None
    scores: dict[str, Share]
    levels: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    trajectory: tuple[Weights, ...] = ()
    norms: tuple[Norms, ...] = ()
    seconds: Seconds = 0.0


@dataclass(frozen=True)
class Epoch:
    """One line of log.jsonl, of stage search or train; a number not measured is None.

    `candidate` is the path that was trained standalone, None for a mixture and for training.
    """

    fold: Name
    stage: str
    epoch: int
    seed: int = 0
    candidate: str | None = None
    train_loss: float | None = None
    validation_loss: float | None = None
    validation_ua: float | None = None


@dataclass(frozen=True)
class Prediction:
    """One row of predictions.csv; `probability` is that of the predicted class."""

    fold: str
    file: str
    speaker: str
    label: str
    predicted: str
    probability: Share


@dataclass(frozen=True, kw_only=True)
class SearchRun:
    """The folder of a search alone."""

    folder: Path
    result: Conditions
    searches: tuple[Search, ...]
    epochs: tuple[Epoch, ...]
    environment: dict[str, Any]
    recipe: str


@dataclass(frozen=True, kw_only=True)
class Run(SearchRun):
    """The folder of a whole run: a search, and what its strategies are worth on test folds."""

    result: Result
    predictions: tuple[Prediction, ...]
