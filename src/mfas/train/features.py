"""What is computed once per recording and then only read: views, frames of frozen encoders.

A manifest enters; `Features` leaves: where each utterance's arrays lie in the cache. Views are kept
in float16, like frames. An utterance's place in the cache is the hash of its decoded audio, so a
renamed file is found again and a changed one is not.

Shape legend: S segments, B segments of a batch, F frequency bins, V frames of 10 ms,
C coefficients, N samples, L levels, T encoder frames, D width.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mfas.audio import (
    MFCC_COEFFICIENTS,
    SEGMENT_FRAMES,
    SEGMENT_SAMPLES,
    SPECTROGRAM_BINS,
    Segments,
    audio_sha256,
    read_audio,
    segment,
)
from mfas.audio.segments import count_segments
from mfas.corpora import Manifest, Utterance
from mfas.encoders import FrameCache, Frames, SpeechEncoder, encode_corpus
from mfas.encoders.arrays import save_array, stored_array
from mfas.jobs import default_workers, run_jobs
from mfas.model import Batch
from mfas.model.batch import join

Progress = Callable[[str, int, int], None]  # what is done, how much of it, out of how much
VIEWS_FOLDER = "views-1"  # counts up when the views change
WAVEFORMS_FOLDER = "waveforms-1"
VIEW_ROWS = SPECTROGRAM_BINS + MFCC_COEFFICIENTS


@dataclass(frozen=True)
class Features:
    """Where the arrays of each utterance lie; small, so that it travels to worker processes.

    samples: real samples of each segment, one int64 (S,) an utterance. frames: the same in 10 ms
    frames. encoded: for "sec" and "tec", the .npy files of their frames, and how many are real.
    """

    audio_hashes: tuple[str, ...]
    samples: tuple[np.ndarray, ...]
    frames: tuple[np.ndarray, ...]
    views: tuple[Path, ...]
    waveforms: tuple[Path, ...]
    encoded: Mapping[str, tuple[Path, ...]]
    encoded_frames: Mapping[str, tuple[np.ndarray, ...]]

    @property
    def segment_counts(self) -> list[int]:
        """Segments of each utterance."""
        return [len(samples) for samples in self.samples]

    def batch(self, chosen: Sequence[tuple[int, int]]) -> Batch:
        """The segments `chosen`, given as (utterance, segment within it)."""
        views_BKV = torch.from_numpy(_stack(self.views, chosen)).float()
        spectrograms_BFV, mfccs_BCV = views_BKV.split(
            [SPECTROGRAM_BINS, views_BKV.shape[1] - SPECTROGRAM_BINS], dim=1
        )
        return Batch(
            spectrograms_BFV=spectrograms_BFV,
            mfccs_BVC=mfccs_BCV.transpose(1, 2),
            frames_B=_counts(self.frames, chosen),
            samples_B=_counts(self.samples, chosen),
            waveforms_BN=torch.from_numpy(_stack(self.waveforms, chosen))
            if self.waveforms
            else None,
            **{name: self._frames(name, chosen) for name in self.encoded},
        )

    def windows(self, chosen: Sequence[tuple[int, int]], segments: int) -> Batch:
        """Frames alone, of windows of `segments` segments each, given one after the other."""
        frames = {n: join(self._frames(n, chosen), segments) for n in self.encoded}
        return Batch(sec=frames.get("sec"), tec=frames.get("tec"))

    def _frames(self, name: str, chosen: Sequence[tuple[int, int]]) -> Frames:
        hidden_BLTD = torch.from_numpy(_stack(self.encoded[name], chosen)).float()
        counts_B = _counts(self.encoded_frames[name], chosen)
        return Frames(hidden_BLTD, torch.arange(hidden_BLTD.shape[2]) < counts_B.unsqueeze(-1))


def prepare_features(
    manifest: Manifest,
    frozen: Mapping[str, SpeechEncoder],
    cache: FrameCache,
    waveforms: bool,
    progress: Progress | None = None,
) -> Features:
    """Compute what the cache lacks, in parallel over recordings.

    `frozen`: encoders by stream name ("sec", "tec"). `waveforms`: keep them too, for encoders that
    are fine-tuned. Raises `AudioError` for the first utterance that cannot be read.
    """

    def prepare(utterance: Utterance) -> _Prepared:
        return _prepare(utterance, cache.folder, waveforms)

    prepared: dict[int, _Prepared] = {}
    for index, result in run_jobs(prepare, manifest.utterances, default_workers(), kind="threads"):
        prepared[index] = result
        if progress is not None:
            progress("views", len(prepared), len(manifest))
    ordered = [prepared[index] for index in range(len(manifest))]
    hashes = tuple(result.audio_hash for result in ordered)
    utterances = manifest.utterances
    return Features(
        audio_hashes=hashes,
        samples=tuple(result.samples for result in ordered),
        frames=tuple(result.frames for result in ordered),
        views=tuple(_views_path(cache.folder, key) for key in hashes),
        waveforms=tuple(_waveforms_path(cache.folder, key) for key in hashes) if waveforms else (),
        encoded={
            name: tuple(
                encode_corpus(
                    encoder,
                    cache,
                    hashes,
                    lambda index: _read_segments(utterances[index]),
                    _named(progress, f"{name.upper()} frames", len(manifest)),
                )
            )
            for name, encoder in frozen.items()
        },
        encoded_frames={
            name: tuple(
                encoder.frame_counts(torch.from_numpy(result.samples)).numpy() for result in ordered
            )
            for name, encoder in frozen.items()
        },
    )


@dataclass(frozen=True)
class _Prepared:
    audio_hash: str
    samples: np.ndarray
    frames: np.ndarray


def _prepare(utterance: Utterance, folder: Path, waveforms: bool) -> _Prepared:
    """Decode one utterance and write its views (and waveforms) where they are missing or damaged."""
    samples = read_audio(utterance.path, utterance.start, utterance.end)
    audio_hash = audio_sha256(samples)
    count = count_segments(len(samples))
    views, waves = _views_path(folder, audio_hash), _waveforms_path(folder, audio_hash)
    has_views = stored_array(views, (count, VIEW_ROWS, SEGMENT_FRAMES), np.float16) is not None
    segments = segment(samples, views=not has_views)
    if not has_views:
        views_SKV = np.concatenate(
            [segments.spectrograms_SFT, segments.mfccs_STC.swapaxes(1, 2)], axis=1
        )
        save_array(views, views_SKV.astype(np.float16))
    if waveforms and stored_array(waves, (count, SEGMENT_SAMPLES), np.float32) is None:
        save_array(waves, segments.waveforms_SN)
    return _Prepared(audio_hash, segments.samples_S, segments.frames_S)


def _read_segments(utterance: Utterance) -> Segments:
    return segment(read_audio(utterance.path, utterance.start, utterance.end), views=False)


def _views_path(folder: Path, audio_hash: str) -> Path:
    return folder / VIEWS_FOLDER / f"{audio_hash}.npy"


def _waveforms_path(folder: Path, audio_hash: str) -> Path:
    return folder / WAVEFORMS_FOLDER / f"{audio_hash}.npy"


def _stack(paths: Sequence[Path], chosen: Sequence[tuple[int, int]]) -> np.ndarray:
    return np.stack([np.load(paths[u], mmap_mode="r")[s] for u, s in chosen])


def _counts(counts: Sequence[np.ndarray], chosen: Sequence[tuple[int, int]]) -> torch.Tensor:
    return torch.tensor([int(counts[u][s]) for u, s in chosen])


def _named(progress: Progress | None, what: str, total: int) -> Callable[[int], None] | None:
    return None if progress is None else lambda done: progress(what, done, total)
