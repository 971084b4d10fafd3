"""The two hand-crafted views of a recording that the Co-attention head looks at.

A waveform enters (float32 (n,), mono, 16 kHz); a spectrogram and MFCCs with one frame every 10 ms
leave. Both follow Co-attention (Zou et al., ICASSP 2022; MFAS section 3) and are librosa's numbers.
"""

import librosa
import numpy as np

from mfas.audio.files import RATE_HZ

PRE_EMPHASIS = 0.97
HOP_SAMPLES = 160  # 10 ms
WINDOW_SAMPLES = 640  # 40 ms, Hamming
SPECTROGRAM_FFT = 800
SPECTROGRAM_BINS = 200  # the lowest, up to 4 kHz
DYNAMIC_RANGE_DB = 80.0
MFCC_COEFFICIENTS = 40
MFCC_FFT = 2048  # librosa's default, which the reference uses


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Magnitude in dB relative to the recording's maximum, float32 (200, frames).

    `samples` is float32 (n,) at 16 kHz; pre-emphasis happens inside. frames = 1 + n // 160;
    frame t is centred on sample 160 t; values lie between -80 and 0.
    """
    magnitude = np.abs(
        librosa.stft(
            _emphasised(samples),
            n_fft=SPECTROGRAM_FFT,
            hop_length=HOP_SAMPLES,
            win_length=WINDOW_SAMPLES,
            window="hamming",
        )
    )
    kept = magnitude[:, : _frames(samples)]  # before the maximum is taken
    return librosa.amplitude_to_db(kept, ref=np.max, top_db=DYNAMIC_RANGE_DB)[:SPECTROGRAM_BINS]


def mfcc(samples: np.ndarray) -> np.ndarray:
    """40 mel-frequency cepstral coefficients (HTK mel), float32 (frames, 40).

    `samples` is float32 (n,) at 16 kHz; pre-emphasis happens inside; frames as in `spectrogram`.
    """
    mel = librosa.feature.melspectrogram(
        y=_emphasised(samples), sr=RATE_HZ, n_fft=MFCC_FFT, hop_length=HOP_SAMPLES, htk=True
    )
    decibels = librosa.power_to_db(mel[:, : _frames(samples)])
    return librosa.feature.mfcc(S=decibels, n_mfcc=MFCC_COEFFICIENTS).T


def _emphasised(samples: np.ndarray) -> np.ndarray:
    """Pre-emphasised samples, followed by zeros up to one FFT window.

    librosa pads with zeros at both ends anyway, so the first `_frames` frames do not change.
    """
    emphasised = librosa.effects.preemphasis(samples, coef=PRE_EMPHASIS)  # type: ignore[attr-defined]
    missing = MFCC_FFT - len(emphasised)
    return np.pad(emphasised, (0, missing)) if missing > 0 else emphasised


def _frames(samples: np.ndarray) -> int:
    return 1 + len(samples) // HOP_SAMPLES
