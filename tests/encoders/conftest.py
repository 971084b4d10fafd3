"""Small encoders of every kind, and a recording that needs none of the audio room's views."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mfas.audio import SEGMENT_SAMPLES, Segments
from mfas.encoders import (
    COMPACT,
    TABLE1,
    ConvolutionSettings,
    HuggingFaceEncoder,
    SpeechEncoder,
    TransformerEncoder,
    save_random_huggingface,
)

NARROW = {"dim": 32, "ffn": 64, "heads": 4, "position_groups": 4}
SMALL_COMPACT = replace(COMPACT, **NARROW)
SMALL_TABLE1 = replace(TABLE1, **NARROW, convolutions=ConvolutionSettings(channels=32))
HUGGINGFACE = {
    "wav2vec2": ("wav2vec2", {}),
    "wav2vec2-large-style": (
        "wav2vec2",
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    ),
    "data2vec-audio": ("data2vec-audio", {}),
    "hubert": ("hubert", {}),
    "wavlm": ("wavlm", {}),
}


@pytest.fixture(scope="session")
def huggingface_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name, (kind, overrides) in HUGGINGFACE.items():
        folders[name] = tmp_path_factory.mktemp("huggingface") / name
        save_random_huggingface(kind, folders[name], seed=0, size="tiny", **overrides)
    return folders


@pytest.fixture(scope="session")
def encoders(huggingface_folders: dict[str, Path]) -> dict[str, SpeechEncoder]:
    """One encoder of each kind, frozen; do not change them."""
    ours = {c.name: TransformerEncoder(c, seed=3) for c in (SMALL_COMPACT, SMALL_TABLE1)}
    theirs = {name: HuggingFaceEncoder(folder) for name, folder in huggingface_folders.items()}
    return {name: encoder.freeze() for name, encoder in {**ours, **theirs}.items()}


@pytest.fixture(scope="session")
def padded_encoders(huggingface_folders: dict[str, Path]) -> dict[str, SpeechEncoder]:
    """The same as in training, where batches are padded, but without dropout."""
    ours = {c.name: TransformerEncoder(c, seed=3) for c in (SMALL_COMPACT, SMALL_TABLE1)}
    theirs = {name: HuggingFaceEncoder(folder) for name, folder in huggingface_folders.items()}
    return {name: encoder.eval() for name, encoder in {**ours, **theirs}.items()}


def noise(samples: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Segments (B, 48000) of noise, garbage behind their ends included, and their real samples."""
    generator = torch.Generator().manual_seed(seed)
    waveforms_BN = 0.1 * torch.randn(len(samples), SEGMENT_SAMPLES, generator=generator)
    return waveforms_BN, torch.tensor(samples)


def recording(samples: list[int], seed: int = 0) -> Segments:
    waveforms_SN, samples_S = noise(samples, seed)
    count = len(samples)
    return Segments(
        waveforms_SN=waveforms_SN.numpy(),
        samples_S=samples_S.numpy(),
        spectrograms_SFT=np.zeros((count, 200, 300), np.float32),
        mfccs_STC=np.zeros((count, 300, 40), np.float32),
        frames_S=samples_S.numpy() // 160,
    )
