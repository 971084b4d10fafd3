"""A recording becomes 3-second segments; what is behind its end is zero and marked."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfas.audio import Segments, mfcc, segment, spectrogram
from mfas.audio.segments import count_segments

HOP, SEGMENT = 160, 48_000


def ramp(samples: int) -> np.ndarray:
    """Samples that are all different and never 0."""
    return np.linspace(0.1, 0.9, samples, dtype=np.float32)


def real(segments: Segments) -> np.ndarray:
    parts = zip(segments.waveforms_SN, segments.samples_S, strict=True)
    return np.concatenate([waveform_N[:n] for waveform_N, n in parts])


@pytest.mark.parametrize(
    ("samples", "count"),
    [
        (400, 1),
        (47_999, 1),
        (48_000, 1),
        (48_159, 1),
        (48_160, 2),
        (96_000, 2),
        (96_159, 2),
        (96_160, 3),
        (480_000, 10),
    ],
)
def test_counts(samples, count):
    assert count_segments(samples) == count
    segments = segment(ramp(samples), views=False)
    assert len(segments) == count
    assert segments.waveforms_SN.shape == (count, SEGMENT)
    assert segments.waveforms_SN.dtype == np.float32
    assert segments.samples_S.dtype == segments.frames_S.dtype == np.int64
    assert not segments.has_views


@settings(max_examples=60)
@given(samples=st.integers(400, 200_000))
def test_the_real_parts_are_the_recording(samples: int):
    recording = ramp(samples)
    segments = segment(recording, views=False)
    again = real(segments)
    dropped = samples - len(again)
    assert 0 <= dropped < HOP
    assert np.array_equal(again, recording[: len(again)])
    assert np.count_nonzero(segments.waveforms_SN) == len(again)
    assert (segments.samples_S[:-1] == SEGMENT).all()
    assert (segments.samples_S > 0).all()


@settings(max_examples=60)
@given(samples=st.integers(400, 200_000))
def test_masks_count_whole_hops(samples: int):
    segments = segment(ramp(samples), views=False)
    assert segments.frames_S.sum() == samples // HOP
    assert (segments.frames_S == segments.samples_S // HOP).all()
    assert (segments.frames_S > 0).all()


@settings(max_examples=60)
@given(samples=st.integers(400, 200_000))
def test_times_join_up_and_end_with_the_recording(samples: int):
    segments = segment(ramp(samples), views=False)
    times = segments.times()
    assert times[0][0] == 0
    assert all(end == start for (_, end), (start, _) in pairwise(times))
    assert all(end - start <= 3 for start, end in times)
    assert times[-1][1] == pytest.approx(samples / 16_000, abs=0.01)


@pytest.mark.parametrize("samples", [400, 20_000, 48_000, 48_159, 48_160, 113_000])
def test_views_are_cut_from_the_whole_recordings(samples, voice):
    recording = voice(samples)
    segments = segment(recording)
    assert segments.has_views
    assert segments.spectrograms_SFT.shape == (len(segments), 200, 300)
    assert segments.mfccs_STC.shape == (len(segments), 300, 40)
    whole_FV, whole_VC = spectrogram(recording), mfcc(recording)
    for i, frames in enumerate(segments.frames_S):
        span = slice(300 * i, 300 * i + frames)
        assert np.array_equal(segments.spectrograms_SFT[i, :, :frames], whole_FV[:, span])
        assert np.array_equal(segments.mfccs_STC[i, :frames], whole_VC[span])
        assert not segments.spectrograms_SFT[i, :, frames:].any()
        assert not segments.mfccs_STC[i, frames:].any()


def test_without_views_the_rest_is_the_same(voice):
    recording = voice(60_000)
    full, bare = segment(recording), segment(recording, views=False)
    assert np.array_equal(full.waveforms_SN, bare.waveforms_SN)
    assert np.array_equal(full.samples_S, bare.samples_S)
    assert np.array_equal(full.frames_S, bare.frames_S)
