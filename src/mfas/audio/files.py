"""A file of any format, rate and channel count that libsndfile reads becomes mono 16 kHz float32.

Whatever cannot be analysed is refused here with one line that names the file, the fault and the
fix, so that no later room sees a broken recording.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from mfas.errors import AudioError
from mfas.storage import sha256_of_bytes

RATE_HZ = 16_000
MINIMUM_SAMPLES = 400  # 25 ms: one frame of every speech encoder
SILENCE_PEAK = 1e-4  # -80 dBFS
# data sizes from here on, and 0, are written by programs that stream to a pipe (sox, arecord, ffmpeg)
_UNKNOWN_WAV_SIZE = 0x7FFFF000
_UNKNOWN_FRAMES = 2**63 - 1  # libsndfile's count for a FLAC file whose header gives none


def read_audio(
    path: str | Path, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """Read a recording, or its part from `start` to `end` seconds, as float32 (n,) at 16 kHz.

    Channels are averaged; rates are converted by soxr (HQ). Raises `AudioError` if the file is
    missing, empty, truncated, not audio, too short, silent, or holds samples that are not finite.
    """
    path = Path(path)
    _require_file(path)
    try:
        with soundfile.SoundFile(path) as sound:
            rate_hz, expected = sound.samplerate, sound.frames
            if expected == _UNKNOWN_FRAMES:
                raise AudioError(
                    f"{path}: its header does not say how long it is; convert it to wav"
                )
            first = 0 if start is None else round(start * rate_hz)
            last = expected if end is None else min(round(end * rate_hz), expected)
            if not 0 <= first < last:
                raise AudioError(
                    f"{path}: holds {expected / rate_hz:.2f} s but {start} to {end} s was asked "
                    "for; correct start and end"
                    if expected
                    else f"{path}: holds no samples; record or export it again"
                )
            sound.seek(first)
            samples = sound.read(last - first, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{path}: not readable as audio ({_reason(error)}); convert it to wav or flac"
        ) from error
    if len(samples) < last - first or _is_truncated_wav(path):
        raise AudioError(f"{path}: truncated, its header promises more audio; copy it again")
    return prepare_samples(samples, rate_hz, name=str(path))


def prepare_samples(samples: np.ndarray, rate_hz: int, name: str = "samples") -> np.ndarray:
    """Make (n,) or (n, channels) samples at any rate mono float32 at 16 kHz; see `read_audio`."""
    if rate_hz <= 0:
        raise AudioError(f"{name}: sample rate {rate_hz} Hz; give the true rate")
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or samples.dtype.kind not in "fiu":
        raise AudioError(f"{name}: samples must be (n,) or (n, channels) numbers")
    if samples.dtype.kind in "iu":
        samples = _full_scale(samples)
    samples = samples.astype(np.float32, copy=False)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if not np.isfinite(samples).all():
        raise AudioError(f"{name}: holds samples that are not finite numbers; export it again")
    if rate_hz != RATE_HZ and len(samples):
        samples = soxr.resample(samples, rate_hz, RATE_HZ, "HQ")
    if len(samples) < MINIMUM_SAMPLES:
        raise AudioError(
            f"{name}: too short ({len(samples) / RATE_HZ * 1000:.1f} ms); "
            f"at least {MINIMUM_SAMPLES / RATE_HZ * 1000:.0f} ms are needed"
        )
    if np.abs(samples).max() < SILENCE_PEAK:
        raise AudioError(f"{name}: silent (peak below -80 dBFS); check the recording")
    return np.ascontiguousarray(samples, dtype=np.float32)


def audio_sha256(samples: np.ndarray) -> str:
    """Hash of decoded samples: equal for the same audio under another name or lossless format."""
    return sha256_of_bytes(np.ascontiguousarray(samples, dtype="<f4").tobytes())


def _full_scale(samples: np.ndarray) -> np.ndarray:
    """Integers of any width in [-1, 1); unsigned ones, as in 8-bit wav, are silent in the middle."""
    limits = np.iinfo(samples.dtype)
    half = (float(limits.max) - float(limits.min) + 1) / 2
    return (samples.astype(np.float64) - float(limits.min)) / half - 1


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise AudioError(f"{path}: is a folder; name a file in it")
    if not path.exists():
        raise AudioError(f"{path}: no such file; check the path")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: empty file (0 bytes); copy or record it again")


def _reason(error: soundfile.SoundFileError) -> str:
    return str(error).rsplit(": ", 1)[-1].rstrip(".").lower()


def _is_truncated_wav(path: Path) -> bool:
    """Whether a RIFF file's data chunk promises more bytes than follow; libsndfile forgives that."""
    with path.open("rb") as content:
        header = content.read(12)
        if header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return False
        return _data_chunk_overruns(content, path.stat().st_size)


def _data_chunk_overruns(content: BinaryIO, file_size: int) -> bool:
    while len(chunk := content.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            return size < _UNKNOWN_WAV_SIZE and content.tell() + size > file_size
        content.seek(size + size % 2, 1)
    return True
