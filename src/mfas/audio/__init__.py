"""A file becomes mono 16 kHz float32, then 3-second segments with a spectrogram and an MFCC view."""

from mfas.audio.files import RATE_HZ, audio_sha256, prepare_samples, read_audio
from mfas.audio.segments import (
    SEGMENT_FRAMES,
    SEGMENT_SAMPLES,
    SEGMENT_SECONDS,
    Segments,
    segment,
)
from mfas.audio.views import HOP_SAMPLES, MFCC_COEFFICIENTS, SPECTROGRAM_BINS, mfcc, spectrogram

__all__ = [
    "HOP_SAMPLES",
    "MFCC_COEFFICIENTS",
    "RATE_HZ",
    "SEGMENT_FRAMES",
    "SEGMENT_SAMPLES",
    "SEGMENT_SECONDS",
    "SPECTROGRAM_BINS",
    "Segments",
    "audio_sha256",
    "mfcc",
    "prepare_samples",
    "read_audio",
    "segment",
    "spectrogram",
]
