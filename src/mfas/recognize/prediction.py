"""What a recogniser says of one recording."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class SegmentPrediction:
    """One 3-second segment: times in seconds, probabilities by class, summing to 1."""

    start: float
    end: float
    label: str
    probabilities: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """One recording: its most probable class, all probabilities, and the same for each segment."""

    file: str | None
    duration: float
    label: str
    probabilities: dict[str, float]
    segments: tuple[SegmentPrediction, ...]
    model: str

    def to_json(self) -> dict[str, Any]:
        """The prediction as `mfas predict --format json` prints it."""
        return asdict(self) | {"segments": [asdict(segment) for segment in self.segments]}
