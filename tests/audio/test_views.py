"""Both views are librosa's numbers, for recordings of any length."""

import warnings

import librosa
import numpy as np
import pytest

from mfas.audio import mfcc, read_audio, spectrogram

AGREEMENT = 1e-3  # what counts as the same number
LENGTHS = (400, 479, 640, 1_599, 2_047, 2_048, 16_000, 48_159, 100_001)


def librosa_views(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the reference of the paper's set-up computes."""
    emphasised = librosa.effects.preemphasis(samples, coef=0.97)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=.* is too large", category=UserWarning)
        spectrum = librosa.stft(
            emphasised, n_fft=800, hop_length=160, win_length=640, window="hamming"
        )
        decibels = librosa.amplitude_to_db(np.abs(spectrum), ref=np.max)
        coefficients = librosa.feature.mfcc(
            y=emphasised, sr=16_000, n_mfcc=40, hop_length=160, htk=True
        )
    return decibels[:200], coefficients.T


def assert_views_are_librosas(samples: np.ndarray) -> None:
    frames = 1 + len(samples) // 160
    expected_spectrogram, expected_mfcc = librosa_views(samples)
    seen_spectrogram, seen_mfcc = spectrogram(samples), mfcc(samples)
    assert seen_spectrogram.shape == (200, frames)
    assert seen_mfcc.shape == (frames, 40)
    assert seen_spectrogram.dtype == seen_mfcc.dtype == np.float32
    assert np.abs(seen_spectrogram - expected_spectrogram).max() < AGREEMENT
    assert np.abs(seen_mfcc - expected_mfcc).max() < AGREEMENT


@pytest.mark.parametrize("samples", LENGTHS)
def test_a_made_up_voice(samples, voice):
    assert_views_are_librosas(voice(samples))


@pytest.mark.parametrize("samples", [479, 1_119, 1_999])
def test_a_short_recording_that_is_loudest_at_its_end(samples, voice):
    signal = 0.01 * voice(samples)
    signal[-2:] = 0.9, -0.9
    assert_views_are_librosas(signal)


@pytest.mark.corpora
def test_real_recordings(emodb):
    for path in emodb[::60]:
        assert_views_are_librosas(read_audio(path))


def test_decibels_are_relative_to_the_recordings_maximum(voice):
    signal = voice(32_000)
    decibels = spectrogram(signal)
    assert decibels.max() == 0
    assert decibels.min() >= -80
    np.testing.assert_allclose(spectrogram(0.5 * signal), decibels, atol=1e-3)


def test_a_tone_stands_where_its_frequency_is():
    tone = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    loudest = spectrogram(tone)[:, 10:-10].argmax(axis=0)
    assert (loudest == 50).all()  # bins are 16000 / 800 = 20 Hz apart
