import numpy as np
import pytest

from mfas.corpora.espeak import EspeakSettings, say
from mfas.corpora.prosody import ESPEAK_VOICES, PROSODIES, Prosody, cast_voices, express
from mfas.errors import CorpusError


def test_expressions_scale_and_add():
    assert Prosody(2, rate=0.5).scaled(2).plus(Prosody(pitch=1)) == Prosody(5, rate=1.0)


def test_emotions_keep_their_published_directions():
    neutral, sad = PROSODIES["neutral"], PROSODIES["sad"]
    for aroused in (PROSODIES["angry"], PROSODIES["happy"]):
        assert all(a > n for a, n in zip(aroused.values()[:5], neutral.values()[:5], strict=True))
    assert all(s < n for s, n in zip(sad.values()[:5], neutral.values()[:5], strict=True))
    assert sad.pause_ms > 0


def test_voices_differ_and_depend_on_the_seed_alone():
    voices = cast_voices(len(ESPEAK_VOICES), seed=1)
    assert len({voice.name for voice in voices}) == len(voices)
    assert [voice.gender for voice in voices[:3]] == ["female", "male", "female"]
    assert cast_voices(3, seed=1) == voices[:3]
    assert cast_voices(3, seed=2) != voices[:3]


def test_an_emotion_is_heard_on_average():
    voice = cast_voices(1, seed=0)[0]
    generator = np.random.default_rng(0)
    pitches = {
        emotion: np.mean([express(voice, emotion, generator).pitch for _ in range(50)])
        for emotion in PROSODIES
    }
    assert pitches["sad"] < pitches["neutral"] < pitches["angry"] < pitches["happy"]


@pytest.mark.parametrize("name", ESPEAK_VOICES)
def test_espeak_has_every_voice(name):
    assert len(say("Yes.", EspeakSettings(name))) > 0


@pytest.mark.parametrize("count", [0, 17])
def test_impossible_numbers_of_voices(count):
    with pytest.raises(CorpusError, match=rf"{count} voices; choose 1 to 16"):
        cast_voices(count, seed=0)
