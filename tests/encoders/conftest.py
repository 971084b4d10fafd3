"""Small encoders of every kind, and recordings of noise without views."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mfas.audio import SEGMENT_SAMPLES, Segments
from mfas.encoders import (
    COMPACT,
    TABLE1,
    ConvolutionSettings,
    EncoderConfig,
    HuggingFaceEncoder,
    SpeechEncoder,
    TransformerEncoder,
    save_random_huggingface,
)

NARROW = {"dim": 32, "ffn": 64, "heads": 4, "position_groups": 4}
LARGE_STYLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models gain nothing from threads, and lose much where the cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_configs() -> dict[str, EncoderConfig]:
    """Our two encoders with few weights, everything else as it is."""
    table1 = replace(TABLE1, **NARROW, convolutions=ConvolutionSettings(channels=32))
    return {"compact": replace(COMPACT, **NARROW), "table1": table1}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny Hugging Face models with random weights."""
    root = tmp_path_factory.mktemp("huggingface")
    for kind in ("wav2vec2", "data2vec-audio", "hubert", "wavlm"):
        save_random_huggingface(kind, root / kind, seed=0, size="tiny")
    save_random_huggingface("wav2vec2", root / "large-style", seed=0, size="tiny", **LARGE_STYLE)
    return {folder.name: folder for folder in root.iterdir()}


@pytest.fixture(scope="session")
def make_encoder(
    small_configs: dict[str, EncoderConfig], folders: dict[str, Path]
) -> Callable[[str], SpeechEncoder]:
    def make(kind: str) -> SpeechEncoder:
        if kind in small_configs:
            return TransformerEncoder(small_configs[kind], seed=3)
        return HuggingFaceEncoder(folders[kind])

    return make


@pytest.fixture(scope="session")
def noise() -> Callable[..., tuple[Tensor, Tensor]]:
    """Segments (B, 48000) of noise, behind their ends too, and how many samples are real."""

    def make(samples: list[int], seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        waveforms_BN = 0.1 * torch.randn(len(samples), SEGMENT_SAMPLES, generator=generator)
        return waveforms_BN, torch.tensor(samples)

    return make


@pytest.fixture(scope="session")
def recording(noise: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., Segments]:
    def make(samples: list[int], seed: int = 0) -> Segments:
        waveforms_SN, samples_S = noise(samples, seed)
        return Segments(
            waveforms_SN=waveforms_SN.numpy(),
            samples_S=samples_S.numpy(),
            spectrograms_SFT=np.zeros((len(samples), 200, 300), np.float32),
            mfccs_STC=np.zeros((len(samples), 300, 40), np.float32),
            frames_S=samples_S.numpy() // 160,
        )

    return make
