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


@dataclass(frozen=True)
class Result:
    """result.json. `confusion` has true classes as rows; intervals are over speakers."""

    name: str
    protocol: Annotated[str, Field(pattern=r"^(loso|lospo|kfold10|groups:\d+)$")]
    selection: Literal["inner", "paper"]
    honest: bool
    leaks: tuple[str, ...]
    n_utterances: Count
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    ua: Share
    wa: Share
    macro_f1: Share
    ua_ci95: Interval
    wa_ci95: Interval
    folds: Annotated[tuple[Fold, ...], Field(min_length=1)]
    confusion: tuple[tuple[Count, ...], ...]
    seeds: tuple[int, ...]
    manifest_sha256: str
    folds_sha256: str
    seconds: Seconds
    encoders: Encoders
    peak_rss_mb: Seconds | None = None
    notes: tuple[str, ...] = ()
    files: dict[str, str] | None = None


@dataclass(frozen=True)
class Search:
    """One entry of strategies.json: what one search saw, and what it chose.

    `weights` is levels x operations (rows sum to 1), None where nothing was weighed; `scores` are
    inner-validation UA of one-hot paths, keyed "level:operation".
    """

    fold: Name
    seed: int
    method: Literal["darts", "random", "exhaustive", "fixed"]
    strategy: Strategy | None
    levels: tuple[str, ...]
    operations: tuple[str, ...]
    weights: tuple[tuple[Share, ...], ...] | None
    scores: dict[str, Share]


@dataclass(frozen=True)
class Epoch:
    """One line of log.jsonl, of stage search or train; a number not measured is None."""

    fold: Name
    stage: str
    epoch: int
    seed: int = 0
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


@dataclass(frozen=True)
class Run:
    """A whole run folder."""

    folder: Path
    result: Result
    searches: tuple[Search, ...]
    epochs: tuple[Epoch, ...]
    predictions: tuple[Prediction, ...]
    environment: dict[str, Any]
    recipe: str
