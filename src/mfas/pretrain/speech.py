"""Recordings of a manifest, decoded once: 16-bit samples at 16 kHz in one memory-mapped file.

A manifest enters; a `Speech` leaves, from which any crop of any recording is read without decoding.
An hour takes 115 MB in the cache folder. Opus and FLAC decode several hundred times faster than they
play, but a pretraining reads every recording many times.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfas.audio import RATE_HZ, read_audio
from mfas.corpora import Manifest, Utterance
from mfas.jobs import default_workers, run_jobs
from mfas.storage import atomic_path, read_json, sha256_of_json, write_json

FULL_SCALE = 32767
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Speech:
    """samples_N: int16, all recordings behind each other. starts_R, lengths_R: int64, in samples."""

    utterances: tuple[Utterance, ...]
    samples_N: np.ndarray
    starts_R: np.ndarray
    lengths_R: np.ndarray

    def __len__(self) -> int:
        return len(self.utterances)

    @property
    def seconds(self) -> float:
        """Duration of all recordings together."""
        return float(self.lengths_R.sum()) / RATE_HZ

    def read(self, recording: int, start: int, samples: int) -> np.ndarray:
        """int16 (samples,) from `start` of a recording, both in samples; a view, not a copy."""
        assert start + samples <= self.lengths_R[recording], "a crop lies inside its recording"
        first = self.starts_R[recording] + start
        return self.samples_N[first : first + samples]

    def select(self, recordings: Sequence[int]) -> "Speech":
        """Some of the recordings, over the same samples."""
        chosen = np.asarray(recordings, dtype=np.int64)
        utterances = tuple(self.utterances[index] for index in recordings)
        return Speech(utterances, self.samples_N, self.starts_R[chosen], self.lengths_R[chosen])


def decode_speech(manifest: Manifest, cache: Path, progress: Progress | None = None) -> Speech:
    """Every recording of `manifest`; decoded now, or before into the folder `cache`.

    A recording that has changed (size or time) is decoded again. Raises `AudioError` for the first
    one that cannot be read.
    """
    utterances = manifest.utterances
    key = sha256_of_json([_identity(utterance) for utterance in utterances])
    samples_path, index_path = cache / "speech" / f"{key}.i16", cache / "speech" / f"{key}.json"
    if not (samples_path.exists() and index_path.exists()):
        write_json(index_path, _decode(utterances, samples_path, progress))
    spans_R2 = np.asarray(read_json(index_path), dtype=np.int64).reshape(-1, 2)
    samples_N = np.memmap(samples_path, dtype="<i2", mode="r")
    return Speech(utterances, samples_N, spans_R2[:, 0], spans_R2[:, 1])


def _decode(
    utterances: Sequence[Utterance], path: Path, progress: Progress | None
) -> list[list[int]]:
    """Write all samples to `path`; [start, length] of each recording.

    In the order of `utterances`, so that processes that decode the same speech at once replace each
    other's files by equal ones. Threads suffice: libsndfile lets other threads run meanwhile.
    """
    spans: list[list[int]] = []
    early: dict[int, np.ndarray] = {}
    with atomic_path(path) as temporary, temporary.open("wb") as content:
        jobs = run_jobs(_read, utterances, default_workers(), kind="threads")
        for done, (index, samples) in enumerate(jobs, start=1):
            early[index] = samples
            while (ready := early.pop(len(spans), None)) is not None:
                spans.append([sum(spans[-1]) if spans else 0, len(ready)])
                content.write(ready.tobytes())
            if progress is not None:
                progress(done, len(utterances))
    return spans


def _read(utterance: Utterance) -> np.ndarray:
    samples = read_audio(utterance.path, utterance.start, utterance.end)
    return np.rint(np.clip(samples, -1, 1) * FULL_SCALE).astype("<i2")


def _identity(utterance: Utterance) -> list[object]:
    try:
        found = utterance.path.stat()
    except OSError:
        return [str(utterance.path), None]  # `read_audio` says what is wrong with it
    return [str(utterance.path), found.st_size, found.st_mtime_ns, utterance.start, utterance.end]
