"""Frozen encoders run once: frames of a recording are kept on disk and read back from there.

One .npy file per recording, float16 (S, L, T, D), opened as a memory map:

    <cache>/<settings, 16 hex digits>/<key of the recording>.npy

The settings are the encoder's fingerprint (weights, configuration, layers, normalisation), the
precision, the kind of device, the length of segments and the format of these files. Frames are
rounded to float16 with or without a cache, so both give the same bits. Masks are not stored: they
follow from the samples.

Shape legend: S segments of a recording, L levels, T encoder frames, D width.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from platformdirs import user_cache_dir

from mfas.audio import SEGMENT_SAMPLES, Segments
from mfas.encoders.arrays import save_array, stored_array
from mfas.encoders.base import SpeechEncoder
from mfas.errors import ModelError
from mfas.storage import sha256_of_json

Precision = Literal["float32", "bf16"]
FORMAT = 1  # of the files; a new one makes old caches unused


def default_cache_folder() -> Path:
    """$MFAS_CACHE, or the user's cache folder."""
    return Path(os.environ.get("MFAS_CACHE") or user_cache_dir("mfas", appauthor=False))


@dataclass(frozen=True)
class FrameCache:
    """A folder of frames, for any number of encoders."""

    folder: Path = field(default_factory=default_cache_folder)

    def path(self, encoder: SpeechEncoder, key: str, precision: Precision = "float32") -> Path:
        """Where the frames of the recording `key` are, or would be; hashes the encoder."""
        return self._shelf(encoder, precision) / f"{key}.npy"

    def _shelf(self, encoder: SpeechEncoder, precision: Precision) -> Path:
        assert encoder.frozen, "only a frozen encoder gives the same frames again"
        device = next(encoder.parameters()).device.type
        settings = [FORMAT, encoder.fingerprint(), precision, SEGMENT_SAMPLES, device]
        return Path(self.folder) / sha256_of_json(settings)[:16]


def encode_segments(
    encoder: SpeechEncoder, segments: Segments, batch: int = 16, precision: Precision = "float32"
) -> np.ndarray:
    """Frames of one recording, float16 (S, L, T, D), 0 where masked.

    Raises `ModelError` if a value is not finite in float16.
    """
    device = next(encoder.parameters()).device
    parts = []
    for start in range(0, len(segments), batch):
        chosen = slice(start, start + batch)
        waveforms_BN = torch.from_numpy(segments.waveforms_SN[chosen]).to(device)
        samples_B = torch.from_numpy(segments.samples_S[chosen]).to(device)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, precision == "bf16"):
            parts.append(encoder(waveforms_BN, samples_B).hidden_BLTD.half().cpu().numpy())
    frames_SLTD = np.concatenate(parts)
    if not np.isfinite(frames_SLTD).all():
        raise ModelError(
            f"{encoder.name}: gives frames beyond the range of float16; choose another encoder"
        )
    return frames_SLTD


def cached_frames(
    encoder: SpeechEncoder,
    cache: FrameCache,
    key: str,
    make_segments: Callable[[], Segments],
    precision: Precision = "float32",
) -> np.ndarray:
    """Frames of the recording `key` from the cache; only if they are not there is it encoded.

    `key` must change with the audio (its hash); `make_segments` is called on a miss alone. Returns
    a read-only memory map, float16 (S, L, T, D).
    """
    return _frames_at(cache.path(encoder, key, precision), encoder, make_segments, precision)


def encode_corpus(
    encoder: SpeechEncoder,
    cache: FrameCache,
    keys: Sequence[str],
    read_segments: Callable[[int], Segments],
    progress: Callable[[int], None] | None = None,
    *,
    precision: Precision = "float32",
) -> list[Path]:
    """Encode what the cache lacks of a corpus; the file of every recording, in the order of `keys`.

    `read_segments(i)` reads recording i and is called on a miss alone; `progress(n)` is told how
    many recordings are done. One recording is in memory at a time. (Paths, not memory maps: an open
    map holds a file handle, and a corpus has more files than a process may hold open.)
    """
    shelf = cache._shelf(encoder, precision)
    paths = [shelf / f"{key}.npy" for key in keys]
    for i, path in enumerate(paths):
        _frames_at(path, encoder, partial(read_segments, i), precision)
        if progress is not None:
            progress(i + 1)
    return paths


def _frames_at(
    path: Path,
    encoder: SpeechEncoder,
    make_segments: Callable[[], Segments],
    precision: Precision,
) -> np.ndarray:
    shape = (None, len(encoder.layers), encoder.frames_per_segment, encoder.dim)
    stored_SLTD = stored_array(path, shape, np.float16)
    if stored_SLTD is not None:
        return stored_SLTD
    save_array(path, encode_segments(encoder, make_segments(), precision=precision))
    return np.load(path, mmap_mode="r")
