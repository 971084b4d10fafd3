"""Tiny encoders with both front ends, and a corpus of made-up voices without labels."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from mfas.config import PretrainRecipe, parse_values
from mfas.corpora import Manifest, read_manifest
from mfas.encoders import COMPACT, TABLE1, ConvolutionSettings, EncoderConfig, TransformerEncoder
from mfas.pretrain import SpeechBatch, pretrain
from mfas.storage import write_csv

TINY = {"dim": 16, "depth": 3, "heads": 2, "ffn": 32, "position_kernel": 9, "position_groups": 4}
SECONDS = (0.3, 0.6, 0.9, 1.4, 2.6)  # of the recordings of each speaker; the first is too short
SPEAKERS = ("ada", "bea", "cyd", "dan", "eve", "fay")


@pytest.fixture(scope="session")
def tiny_configs() -> dict[str, EncoderConfig]:
    """Our two encoders with few weights and no dropout."""
    convolutions = ConvolutionSettings(channels=16)
    return {
        "log-mel": replace(COMPACT, **TINY, name="tiny", dropout=0.0),
        "convolutions": replace(TABLE1, **TINY, dropout=0.0, convolutions=convolutions),
    }


@pytest.fixture(scope="session")
def tiny_encoder(tiny_configs: dict[str, EncoderConfig]) -> Callable[..., TransformerEncoder]:
    """`tiny_encoder("log-mel", dropout=0.1)`: with random weights."""

    def make(front: str = "log-mel", seed: int = 3, **changes: Any) -> TransformerEncoder:
        return TransformerEncoder(replace(tiny_configs[front], **changes), "sec", seed)

    return make


@pytest.fixture(scope="session")
def tiny_folder(
    tiny_encoder: Callable[..., TransformerEncoder], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A saved encoder with a log-mel front end, for runs to start from."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_encoder().save(folder)
    return folder


@pytest.fixture(scope="session")
def noisy_batch() -> Callable[..., SpeechBatch]:
    """`noisy_batch(rows, seconds)`: crops of noise whose level differs between rows."""

    def make(rows: int, seconds: float = 0.6, seed: int = 0) -> SpeechBatch:
        generator = torch.Generator().manual_seed(seed)
        samples = round(16_000 * seconds)
        waveforms_BN = torch.randn(rows, samples, generator=generator)
        waveforms_BN *= torch.linspace(0.02, 0.2, rows)[:, None]
        return SpeechBatch(waveforms_BN, torch.full((rows,), samples), (), 0, rows)

    return make


@pytest.fixture(scope="session")
def speech_manifest(
    voice: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The manifest of 30 recordings of 6 speakers, with a text of a few letters each."""
    folder = tmp_path_factory.mktemp("speech")
    rows = []
    for number, speaker in enumerate(SPEAKERS):
        for take, seconds in enumerate(SECONDS):
            samples = voice(round(16_000 * seconds), seed=10 * number + take)
            soundfile.write(folder / f"{speaker}{take}.wav", samples, 16_000)
            text = "" if take == 0 else "say " + "abcdefgh"[take : take + 3]
            rows.append({"file": f"{speaker}{take}.wav", "speaker": speaker, "text": text})
    write_csv(folder / "speech.csv", ["file", "speaker", "text"], rows)
    return folder / "speech.csv"


@pytest.fixture(scope="session")
def manifest(speech_manifest: Path) -> Manifest:
    return read_manifest(speech_manifest, labelled=False)


@pytest.fixture(scope="session")
def make_recipe(speech_manifest: Path, tiny_folder: Path) -> Callable[..., PretrainRecipe]:
    """A run of a second: `make_recipe("--optimize.updates", "3", objective="ctc")`."""
    values = {
        "name": "quick",
        "speech": {
            "manifest": str(speech_manifest),
            "crop_seconds": [0.5, 0.8],
            "held_out": 0.4,
            "gain_db": 3.0,
        },
        "encoder": {"start": str(tiny_folder), "dropout": 0.1},
        "continuous": {"layers": 2, "mel_weight": 0.5},
        "quantised": {"dim": 16},
        "ctc": {"consistency": 0.5},
        "mask": {"span": 4},
        "optimize": {
            "updates": 9,
            "batch_seconds": 3.2,
            "device": "cpu",
            "log_every": 3,
            "checkpoint_every": 4,
        },
    }

    def make(*overrides: str, **changes: str) -> PretrainRecipe:
        return parse_values(PretrainRecipe, {**values, **changes}, overrides)

    return make


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("decoded")


@pytest.fixture(scope="session")
def speech_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all runs on the same speech."""
    return tmp_path_factory.mktemp("speech-cache")


@pytest.fixture(scope="session")
def weights() -> Callable[[Path], dict[str, Tensor]]:
    """The weights that a run left in its folder."""
    from safetensors.torch import load_file

    return lambda folder: load_file(folder / "model.safetensors")


@pytest.fixture(scope="session")
def log_lines() -> Callable[[Path], list[dict[str, Any]]]:
    """The log of a run without how long it took."""

    def read(folder: Path) -> list[dict[str, Any]]:
        lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        timeless = []
        for line in map(json.loads, lines):
            for key in ("seconds", "audio_seconds_per_second"):
                del line[key]
            timeless.append(line)
        return timeless

    return read


@pytest.fixture(scope="session")
def finished(
    make_recipe: Callable[..., PretrainRecipe],
    speech_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Path]:
    """`finished("continuous")`: the folder of a run that was never interrupted; not to be changed."""
    folders: dict[str, Path] = {}

    def run(objective: str) -> Path:
        if objective not in folders:
            folders[objective] = tmp_path_factory.mktemp(objective) / "run"
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MFAS_CACHE", str(speech_cache))
                pretrain(make_recipe(objective=objective), folders[objective])
        return folders[objective]

    return run
