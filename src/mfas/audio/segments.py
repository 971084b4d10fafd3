"""A recording becomes 3-second segments, each with its waveform and both views (paper section 3).

A recording of n samples has n // 160 frames of 10 ms and ceil(frames / 300) segments. A short last
segment is zero-padded at the back in every view and says how much of it is real:

    recording    |----------------- 7.1 s -----------------|
    segments     |----- 3 s -----|----- 3 s -----|- 1.1 s -|000000|
    frames_S            300             300          110

The views are computed on the whole recording, so a segment's first frame knows what came before it,
and decibels are relative to the recording's maximum. (The paper's reference pads waveforms at the
front; we do not.)

Shape legend: S segments, N samples, F frequency bins, T frames of 10 ms, C coefficients.
"""

from dataclasses import dataclass

import numpy as np

from mfas.audio.files import RATE_HZ
from mfas.audio.views import HOP_SAMPLES, mfcc, spectrogram

SEGMENT_SECONDS = 3
SEGMENT_SAMPLES = SEGMENT_SECONDS * RATE_HZ
SEGMENT_FRAMES = SEGMENT_SAMPLES // HOP_SAMPLES


@dataclass(frozen=True)
class Segments:
    """The segments of one recording.

    waveforms_SN: float32 (S, 48000). samples_S: int64 (S,), how many samples are real.
    spectrograms_SFT: float32 (S, 200, 300), dB. mfccs_STC: float32 (S, 300, 40).
    frames_S: int64 (S,), how many 10 ms frames of both views are real. Without views (see
    `segment`) their arrays are empty.
    """

    waveforms_SN: np.ndarray
    samples_S: np.ndarray
    spectrograms_SFT: np.ndarray
    mfccs_STC: np.ndarray
    frames_S: np.ndarray

    def __len__(self) -> int:
        return len(self.samples_S)

    @property
    def has_views(self) -> bool:
        """Whether spectrograms and MFCCs were computed."""
        return self.spectrograms_SFT.size > 0

    def times(self) -> list[tuple[float, float]]:
        """Start and end of each segment in seconds."""
        return [
            (float(i * SEGMENT_SECONDS), i * SEGMENT_SECONDS + int(n) / RATE_HZ)
            for i, n in enumerate(self.samples_S)
        ]


def segment(samples: np.ndarray, views: bool = True) -> Segments:
    """Cut float32 (n,) samples at 16 kHz into segments; with their views, unless told not to."""
    frames = max(1, len(samples) // HOP_SAMPLES)
    count = count_segments(len(samples))
    starts = np.arange(count)
    spectrogram_VF = spectrogram(samples).T[:frames] if views else np.empty((0, 0))
    mfcc_VC = mfcc(samples)[:frames] if views else np.empty((0, 0))
    return Segments(
        waveforms_SN=_cut(samples, count, SEGMENT_SAMPLES),
        samples_S=np.clip(len(samples) - starts * SEGMENT_SAMPLES, 0, SEGMENT_SAMPLES),
        spectrograms_SFT=np.ascontiguousarray(
            _cut(spectrogram_VF, count, SEGMENT_FRAMES).swapaxes(1, 2)
        ),
        mfccs_STC=_cut(mfcc_VC, count, SEGMENT_FRAMES),
        frames_S=np.clip(frames - starts * SEGMENT_FRAMES, 0, SEGMENT_FRAMES),
    )


def count_segments(n_samples: int) -> int:
    """How many segments a recording of `n_samples` at 16 kHz gives."""
    return -(-max(1, n_samples // HOP_SAMPLES) // SEGMENT_FRAMES)


def _cut(signal: np.ndarray, count: int, length: int) -> np.ndarray:
    """(n, ...) -> (count, length, ...), float32; zeros behind a short end, a long end dropped."""
    padded = np.zeros((count * length, *signal.shape[1:]), dtype=np.float32)
    kept = min(len(signal), len(padded))
    padded[:kept] = signal[:kept]
    return padded.reshape(count, length, *signal.shape[1:])
