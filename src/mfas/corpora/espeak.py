"""Text becomes speech by espeak-ng, the formant synthesiser that the package espeakng-loader ships.

A text with voice settings enters; int16 samples at 22,050 Hz leave. espeak-ng is one library with
global state: what it said before changes the next samples. So every call loads it afresh and
unloads it, one call at a time, and the same settings always give the same samples. (That holds
while nothing else in the process, such as phonemizer, keeps the library loaded.)
"""

import _ctypes
import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from mfas.errors import CorpusError

ESPEAK_RATE_HZ = 22_050

# speak_lib.h of espeak-ng 1.52
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000  # espeak_Initialize reports missing data instead of ending the process
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_RATE, _VOLUME, _PITCH, _RANGE, _WORD_GAP = 1, 2, 3, 4, 7
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_BREATH_SEED = 1  # of the noise in breathy voices, else seeded by the clock
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class EspeakSettings:
    """How espeak-ng speaks.

    voice: language and variant as in "en-us+f2". rate_wpm: 80 to 450. pitch, pitch_range: 0 to 99,
    50 is the voice's own; six units of pitch are a semitone. word_gap_ms: added between words.
    """

    voice: str
    rate_wpm: int = 175
    pitch: int = 50
    pitch_range: int = 50
    word_gap_ms: int = 0


def say(text: str, settings: EspeakSettings) -> np.ndarray:
    """Speak `text`: int16 (n,) at 22,050 Hz.

    Raises `CorpusError` if espeakng-loader is not installed, or its voice or data is not there.
    """
    chunks: list[bytes] = []

    def collect(samples: object, count: int, _events: object) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))  # type: ignore[arg-type]
        return 0

    callback = _CALLBACK(collect)  # must outlive the library's use of it
    with _one_at_a_time, _fresh_library() as library:
        library.espeak_SetSynthCallback(callback)
        _configure(library, settings)
        content = text.encode("utf-8") + b"\0"
        failed = library.espeak_Synth(
            content, ctypes.c_size_t(len(content)), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
        )
        assert not failed, f"espeak_Synth gave {failed}"
    return np.frombuffer(b"".join(chunks), dtype="<i2")


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    try:
        import espeakng_loader
    except ImportError as error:
        raise CorpusError(
            "synthetic corpus: espeakng-loader is missing; install mfas[demo]"
        ) from error
    data = str(espeakng_loader.get_data_path())
    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    try:
        rate_hz = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), _DONT_EXIT)
        if rate_hz != ESPEAK_RATE_HZ:
            raise CorpusError(
                f"{data}: espeak-ng cannot load its data; install espeakng-loader again, "
                "in a folder whose path has fewer than 150 characters"
            )
        library.espeak_ng_SetRandSeed(ctypes.c_long(_BREATH_SEED))
        yield library
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)


def _configure(library: ctypes.CDLL, settings: EspeakSettings) -> None:
    if library.espeak_SetVoiceByName(settings.voice.encode()):
        raise CorpusError(f"{settings.voice}: espeak-ng has no such voice; use one like en-us+f2")
    values = {
        _RATE: settings.rate_wpm,
        _VOLUME: 100,
        _PITCH: settings.pitch,
        _RANGE: settings.pitch_range,
        _WORD_GAP: settings.word_gap_ms // 10,
    }
    for parameter, value in values.items():
        failed = library.espeak_SetParameter(parameter, value, 0)
        assert not failed, f"espeak_SetParameter({parameter}, {value}) gave {failed}"
