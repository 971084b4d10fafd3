from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mfas.corpora import Manifest, Utterance


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Iterable[str]], Path]:
    """Write empty files below a folder and return it."""

    def write(names: Iterable[str]) -> Path:
        for name in names:
            path = tmp_path / "corpus" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "corpus"

    return write


@pytest.fixture
def tone(tmp_path: Path) -> Callable[..., Path]:
    """Write a wav file (16 kHz) with a tone of a given frequency, and return its path."""

    def write(name: str, hz: float = 220.0, seconds: float = 0.5, peak: float = 0.5) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        times = np.arange(round(16_000 * seconds)) / 16_000
        soundfile.write(path, np.clip(peak * np.sin(2 * np.pi * hz * times), -1, 1), 16_000)
        return path

    return write


@pytest.fixture
def corpus() -> Callable[..., Manifest]:
    """`per_class` utterances of each class by each speaker; two speakers a session."""

    def make(speakers: int = 6, classes: str = "abc", per_class: int = 3) -> Manifest:
        return Manifest(
            tuple(
                Utterance(
                    file=f"s{speaker}/{label}{take}.wav",
                    path=Path(f"/corpus/s{speaker}/{label}{take}.wav"),
                    speaker=f"s{speaker}",
                    label=label,
                    session=f"Ses{speaker // 2}",
                    text=f"{label} {take} by {speaker}",
                )
                for speaker in range(speakers)
                for label in classes
                for take in range(per_class)
            )
        )

    return make
