"""How an emotion changes a voice, and the voices of the synthetic corpus.

Directions follow the acoustic correlates of vocal emotion in Murray and Arnott (JASA 1993), Juslin
and Laukka (Psychological Bulletin 2003) and Scherer (Speech Communication 2003): anger and joy
raise pitch, its range, rate, loudness and high-frequency energy; sadness lowers all of them and
adds pauses. Which of the two has more of what, and all sizes, are ours (choice), set so that
speakers overlap: neither trivial nor impossible for a voice not heard in training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfas.errors import CorpusError


@dataclass(frozen=True)
class Prosody:
    """A way of speaking, relative to a voice.

    pitch: semitones. pitch_range: espeak-ng units, 50 from monotone to the usual. rate: natural
    logarithm of the factor. loudness_db. brightness: first-order tilt, positive is more energy
    at high frequencies. pause_ms: added between words.
    """

    pitch: float = 0.0
    pitch_range: float = 0.0
    rate: float = 0.0
    loudness_db: float = 0.0
    brightness: float = 0.0
    pause_ms: float = 0.0

    def scaled(self, strength: float) -> "Prosody":
        """The same expression, weaker or stronger."""
        return Prosody(*(strength * value for value in self.values()))

    def plus(self, other: "Prosody") -> "Prosody":
        """Both deviations together."""
        pairs = zip(self.values(), other.values(), strict=True)
        return Prosody(*(own + added for own, added in pairs))

    def values(self) -> tuple[float, ...]:
        """The numbers, in the order of the fields."""
        return (
            *(self.pitch, self.pitch_range, self.rate),
            *(self.loudness_db, self.brightness, self.pause_ms),
        )


PROSODIES: dict[str, Prosody] = {
    "angry": Prosody(2.0, 12, 0.15, 6.0, 0.38, 0),
    "happy": Prosody(5.0, 32, 0.08, 3.0, 0.06, 0),
    "neutral": Prosody(),
    "sad": Prosody(-2.0, -22, -0.17, -4.0, -0.25, 30),
}
_VOICE_SPREAD = Prosody(1.5, 7, 0.06, 2.0, 0.08, 0)  # standard deviations between voices
_UTTERANCE_SPREAD = Prosody(1.1, 7, 0.05, 1.4, 0.08, 6)  # and between utterances of one
_VOICE_STRENGTH = (0.7, 1.3)  # how much a voice expresses an emotion,
_UTTERANCE_STRENGTH = (0.6, 1.3)  # and how much of that an utterance shows

ESPEAK_VOICES = (
    *("en-us+f2", "en-us+m3", "en+f3", "en-gb-scotland+m7"),
    *("en-gb-scotland+f4", "en+m1", "en-029+f5", "en-gb-x-rp+m5"),
    *("en-gb-x-gbclan+f1", "en-us-nyc+m4", "en-us-nyc+f3", "en-029+m2"),
    *("en-gb-x-rp+f2", "en-gb-x-gbclan+m6", "en-us+f5", "en-us+m8"),
)


@dataclass(frozen=True)
class Voice:
    """A speaker: an espeak-ng voice with habits of its own.

    habit: deviation from the espeak-ng voice in all speech. strengths: how much each emotion shows.
    """

    name: str
    gender: str
    espeak: str
    habit: Prosody
    strengths: dict[str, float]


def cast_voices(count: int, seed: int) -> tuple[Voice, ...]:
    """The first `count` voices, women and men in turn; habits are drawn from `seed`.

    Raises `CorpusError` for a count that the voices of espeak-ng do not allow.
    """
    if not 1 <= count <= len(ESPEAK_VOICES):
        raise CorpusError(f"synthetic corpus: {count} voices; choose 1 to {len(ESPEAK_VOICES)}")
    return tuple(_voice(number, seed) for number in range(count))


def express(voice: Voice, emotion: str, generator: np.random.Generator) -> Prosody:
    """How `voice` sounds in one utterance of `emotion` (a key of `PROSODIES`)."""
    strength = voice.strengths[emotion] * generator.uniform(*_UTTERANCE_STRENGTH)
    chance = _scattered(_UTTERANCE_SPREAD, generator)
    return voice.habit.plus(PROSODIES[emotion].scaled(strength)).plus(chance)


def _voice(number: int, seed: int) -> Voice:
    generator = np.random.default_rng([seed, number])
    gender = ("female", "male")[number % 2]
    return Voice(
        name=f"{gender[0]}{number // 2 + 1}",
        gender=gender,
        espeak=ESPEAK_VOICES[number],
        habit=_scattered(_VOICE_SPREAD, generator),
        strengths={e: generator.uniform(*_VOICE_STRENGTH) for e in sorted(PROSODIES)},
    )


def _scattered(spread: Prosody, generator: np.random.Generator) -> Prosody:
    deviations: Sequence[float] = generator.normal(0, spread.values()).tolist()
    return Prosody(*deviations)
