"""What several rooms' tests need: a cache of their own, real recordings, and made-up voices."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from mfas.config import Recipe, parse_recipe
from mfas.storage import write_csv

REPOSITORY = Path(__file__).parents[1]
CORPORA = Path(os.environ.get("MFAS_CORPORA", REPOSITORY.parent / "shared" / "corpora"))

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side; torch reads it on import
settings.register_profile("mfas", deadline=None)  # a busy machine is no fault
settings.load_profile("mfas")

PITCH_HZ = {"calm": 140, "glad": 260, "tense": 420}
SESSION_OF = {"ann": "one", "bob": "one", "cid": "two", "dot": "three"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the cache of whoever runs it."""
    monkeypatch.setenv("MFAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def emodb() -> list[Path]:
    """The recordings of EMO-DB; for tests with the marker `corpora`."""
    files = sorted((CORPORA / "emodb").rglob("*.flac")) + sorted((CORPORA / "emodb").rglob("*.wav"))
    if not files:
        pytest.skip("EMO-DB is not here")
    return files


@pytest.fixture(scope="session")
def voice() -> Callable[..., np.ndarray]:
    """`voice(n)`: n samples at 16 kHz of gliding harmonics that swell, over a little noise."""

    def make(samples: int, seed: int = 0) -> np.ndarray:
        generator = np.random.default_rng(seed)
        seconds = np.arange(samples) / 16_000
        pitch_hz = generator.uniform(90, 250) * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * seconds))
        phase = 2 * np.pi * np.cumsum(pitch_hz) / 16_000
        tones = sum(np.sin(k * phase) / k for k in range(1, 12))
        swell = 0.15 * (1.1 + np.sin(2 * np.pi * 1.3 * seconds + generator.uniform(0, 6)))
        return (swell * tones + 0.003 * generator.normal(size=samples)).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def tone_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The manifest of 24 clips: 4 speakers in 3 sessions, 3 classes that differ in pitch.

    Every speaker has a timbre of their own; one clip of each is longer than a segment.
    """
    folder = tmp_path_factory.mktemp("tones")
    generator = np.random.default_rng(0)
    rows = []
    for number, (speaker, session) in enumerate(SESSION_OF.items()):
        for label, take in ((label, take) for label in PITCH_HZ for take in range(2)):
            file = f"{speaker}/{label}{take}.wav"
            seconds = 3.4 if file.endswith("calm0.wav") else generator.uniform(0.5, 1.2)
            times = np.arange(round(16_000 * seconds)) / 16_000
            hz = PITCH_HZ[label] * (1 + 0.04 * number) * generator.uniform(0.97, 1.03)
            steepness = 1 + 0.3 * number
            tone = sum(np.sin(2 * np.pi * hz * k * times) / k**steepness for k in range(1, 6))
            (folder / speaker).mkdir(exist_ok=True)
            noise = 0.01 * generator.normal(size=len(times))
            soundfile.write(folder / file, 0.15 * tone + noise, 16_000)
            rows.append({"file": file, "speaker": speaker, "label": label, "session": session})
    write_csv(folder / "manifest.csv", ["file", "speaker", "label", "session"], rows)
    return folder / "manifest.csv"


@pytest.fixture(scope="session")
def quick_recipe(tone_corpus: Path) -> Callable[..., Recipe]:
    """A recipe that runs in seconds, with random encoders: `quick_recipe("--train.epochs", "3")`."""
    quick = [
        *("--sec.encoder", "compact", "--tec.encoder", "compact"),
        *("--fusion.dim", "16", "--search.epochs", "1", "--train.epochs", "2"),
        *("--train.batch", "8", "--train.device", "cpu", "--evaluate.workers", "1"),
        *("--evaluate.bootstrap", "100"),
    ]

    def make(*overrides: str, manifest: Path = tone_corpus) -> Recipe:
        values = {"name": "quick", "corpus": {"manifest": manifest}}
        return parse_recipe(values, [*quick, *overrides])

    return make


@pytest.fixture(scope="session")
def tone_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all runs on the tone corpus."""
    return tmp_path_factory.mktemp("tone-cache")


@pytest.fixture(scope="session")
def experiment(quick_recipe: Callable[..., Recipe], tone_cache: Path) -> Any:
    """The quick recipe with its features; computed on one thread, as folds are."""
    import torch

    from mfas.evaluate.experiment import prepare_experiment, read_corpus

    torch.set_num_threads(1)
    recipe = quick_recipe()
    return prepare_experiment(recipe, read_corpus(recipe), tone_cache)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with small encoders: classes angry, calm, sad; strategy middle:ism."""
    from mfas.config import Recipe
    from mfas.encoders import COMPACT, TransformerEncoder, load_encoder
    from mfas.fusion import Strategy
    from mfas.model import ModelCard, build_model, save_model

    root = tmp_path_factory.mktemp("saved")
    config = replace(COMPACT, dim=32, ffn=64, heads=4, position_groups=4)
    for seed, name in enumerate(("sec", "tec")):
        TransformerEncoder(config, name, seed).save(root / name)
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "sec": {"encoder": str(root / "sec")},
            "tec": {"encoder": str(root / "tec")},
            "fusion": {"strategy": "middle:ism"},
        }
    )
    sec, tec = load_encoder(recipe.sec, "sec"), load_encoder(recipe.tec, "tec")
    strategy = Strategy.parse(recipe.fusion.strategy)
    model = build_model(recipe, sec, tec, 3, strategy, seed=5)
    card = ModelCard(recipe, ("angry", "calm", "sad"), strategy, ("made for tests",), 0.5)
    save_model(root / "model", model, card)
    return root / "model"
