import pytest

from mfas.corpora import adapt_corpus
from mfas.errors import CorpusError


def test_speech_is_read_and_song_left_out(tree):
    folder = tree(
        [
            "Actor_12/03-01-06-01-02-01-12.wav",
            "Actor_01/03-01-01-01-01-02-01.wav",
            "Actor_01/03-02-01-01-01-02-01.wav",
            "Actor_01/01-01-01-01-01-02-01.wav",
            "Actor_25/03-01-01-01-01-01-25.wav",
        ]
    )
    manifest = adapt_corpus("ravdess", folder)
    assert [(u.speaker, u.label, u.gender, u.text) for u in manifest] == [
        ("01", "neutral", "male", "Kids are talking by the door."),
        ("12", "fearful", "female", "Dogs are sitting by the door."),
    ]
    assert len(manifest.skipped) == 3
    assert sum("not audio-only speech" in line for line in manifest.skipped) == 2


def test_every_emotion(tree):
    manifest = adapt_corpus("ravdess", tree(f"03-01-0{n}-01-01-01-02.wav" for n in range(1, 9)))
    labels = "neutral calm happy sad angry fearful disgust surprised"
    assert [u.label for u in manifest] == labels.split()


def test_the_doubled_archive_is_refused(tree):
    name = "Actor_01/03-01-01-01-01-01-01.wav"
    with pytest.raises(CorpusError, match=r"twice, e\.g\. .*name the folder that holds one copy"):
        adapt_corpus("ravdess", tree([name, f"audio_speech_actors_01-24/{name}"]))
