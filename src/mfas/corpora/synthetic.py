"""A small emotional corpus made on the spot, offline: voices x emotions x sentences.

Nothing enters but a seed; wav files with a manifest leave. The label is the prosody's emotion. The
words agree with it in about half of the utterances, are neutral in most others and conflict in a
few (sentences.py), so that MFAS (arXiv 2306.09361) has both kinds of knowledge to work with. It
is formant synthesis: good for trying things out, no evidence about people.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from mfas.audio import RATE_HZ
from mfas.corpora.espeak import ESPEAK_RATE_HZ, EspeakSettings, say
from mfas.corpora.manifest import Manifest, Utterance
from mfas.corpora.manifest_csv import read_manifest, write_manifest
from mfas.corpora.prosody import PROSODIES, Prosody, Voice, cast_voices, express
from mfas.corpora.sentences import SENTENCES
from mfas.errors import CorpusError
from mfas.storage import atomic_path

AGREEING_SHARE = 0.5  # of the utterances have words of their label's emotion,
CONFLICTING_SHARE = 0.1  # and these have words of another; the rest is neutral
LEVEL_DB = -31.0  # RMS re full scale of neutral speech; espeak-ng's peaks are up to 24 dB above
NOISE_DB = -66.0  # room noise
PEAK_LIMIT = 0.95
USUAL_RATE_WPM = 170
PITCH_UNITS_PER_SEMITONE = 6


@dataclass(frozen=True)
class Spoken:
    """One utterance to be: `text` by `voice`, in the tone of `prosody_emotion`.

    word_emotion says what the words express; prosody_emotion is a key of `PROSODIES`. Pairing both
    freely gives grids of agreeing and conflicting utterances. seed: of its chance deviations.
    """

    voice: Voice
    text: str
    word_emotion: str
    prosody_emotion: str
    seed: int


def speak(spoken: Spoken) -> np.ndarray:
    """Speak an utterance: float32 (n,) at 16 kHz. The same `spoken` gives the same samples."""
    generator = np.random.default_rng(spoken.seed)
    prosody = express(spoken.voice, spoken.prosody_emotion, generator)
    dry = say(spoken.text, _settings(spoken.voice.espeak, prosody)).astype(np.float32) / 2**15
    samples = soxr.resample(dry, ESPEAK_RATE_HZ, RATE_HZ, "HQ")
    tilted = np.append(
        samples[:1], samples[1:] - np.clip(prosody.brightness, -0.9, 0.9) * samples[:-1]
    )
    level = _amplitude(LEVEL_DB + prosody.loudness_db) / np.sqrt(np.mean(tilted**2))
    noisy = level * tilted + generator.normal(0, _amplitude(NOISE_DB), len(tilted))
    return (noisy * min(1.0, PEAK_LIMIT / np.abs(noisy).max())).astype(np.float32)


def record(spoken: Spoken, path: Path) -> None:
    """Speak an utterance into a wav file, 16 kHz, 16 bit."""
    samples = speak(spoken)
    with atomic_path(path) as temporary:
        soundfile.write(temporary, samples, RATE_HZ, subtype="PCM_16", format="WAV")


def plan_corpus(voices: int, sentences: int, seed: int) -> tuple[Spoken, ...]:
    """What the corpus says: `sentences` utterances of each emotion by each of `voices` voices."""
    if sentences < 1:
        raise CorpusError(f"synthetic corpus: {sentences} sentences per emotion; choose 1 or more")
    return tuple(
        spoken
        for number, voice in enumerate(cast_voices(voices, seed))
        for emotion_number, emotion in enumerate(PROSODIES)
        for spoken in _utterances(voice, emotion, sentences, [seed, number, emotion_number])
    )


def synthesize_corpus(
    folder: str | Path, voices: int = 8, sentences: int = 10, seed: int = 0
) -> Manifest:
    """Write `voices` x 4 emotions x `sentences` wav files (16 kHz, 16 bit) and manifest.csv.

    The same arguments give the same bytes. Raises `CorpusError` if espeak-ng is not installed
    (mfas[demo]) or there are not that many voices.
    """
    folder = Path(folder).resolve()
    utterances = []
    for number, spoken in enumerate(plan_corpus(voices, sentences, seed)):
        voice, emotion = spoken.voice, spoken.prosody_emotion
        name = f"{voice.name}_{emotion}_{number % sentences + 1:02d}_{spoken.word_emotion}.wav"
        path = folder / voice.name / name
        record(spoken, path)
        utterances.append(
            Utterance(name, path, voice.name, emotion, text=spoken.text, gender=voice.gender)
        )
    write_manifest(Manifest(tuple(utterances)), folder / "manifest.csv")
    return read_manifest(folder / "manifest.csv")


def _utterances(voice: Voice, emotion: str, count: int, seed: list[int]) -> Iterator[Spoken]:
    generator = np.random.default_rng(seed)
    texts = {e: generator.permutation(SENTENCES[e]).tolist() for e in sorted(SENTENCES)}
    for word_emotion in _word_emotions(emotion, count, generator):
        bank = texts[word_emotion]
        bank.append(bank.pop(0))  # every sentence once before any comes again
        own_seed = int(generator.integers(2**32))
        yield Spoken(voice, bank[-1], word_emotion, emotion, own_seed)


def _word_emotions(emotion: str, count: int, generator: np.random.Generator) -> list[str]:
    others = [other for other in sorted(SENTENCES) if other not in (emotion, "neutral")]
    agreeing = [emotion] * round(AGREEING_SHARE * count)
    conflicting = generator.choice(others, round(CONFLICTING_SHARE * count)).tolist()
    neutral = ["neutral"] * (count - len(agreeing) - len(conflicting))
    return generator.permutation([*agreeing, *conflicting, *neutral]).tolist()


def _settings(voice: str, prosody: Prosody) -> EspeakSettings:
    def within(value: float, low: int, high: int) -> int:
        return round(min(max(value, low), high))

    return EspeakSettings(
        voice=voice,
        rate_wpm=within(USUAL_RATE_WPM * np.exp(prosody.rate), 100, 300),
        pitch=within(50 + PITCH_UNITS_PER_SEMITONE * prosody.pitch, 0, 99),
        pitch_range=within(50 + prosody.pitch_range, 0, 99),
        word_gap_ms=within(prosody.pause_ms, 0, 200),
    )


def _amplitude(decibels: float) -> float:
    return float(10 ** (decibels / 20))
