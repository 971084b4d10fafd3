import pytest

from mfas.corpora import adapt_corpus
from mfas.errors import CorpusError


def test_speakers_from_folders_and_names(tree):
    folder = tree(
        [
            "happy/anna_01.wav",
            "happy/ben-02.ogg",
            "sad/anna/take 1.MP3",
            "sad/ben/day2/x.flac",
            "stray.wav",
            "sad/notes.txt",
        ]
    )
    manifest = adapt_corpus("folder", folder)
    assert [(u.file, u.speaker, u.label) for u in manifest] == [
        ("happy/anna_01.wav", "anna", "happy"),
        ("happy/ben-02.ogg", "ben", "happy"),
        ("sad/anna/take 1.MP3", "anna", "sad"),
        ("sad/ben/day2/x.flac", "ben", "sad"),
    ]
    assert manifest.skipped == ("stray.wav: in no class's subfolder",)


def test_a_name_without_a_speaker_is_refused(tree):
    message = (
        r"happy/clip\.wav: its name does not tell the speaker; name it <speaker>_clip\.wav, or"
    )
    with pytest.raises(CorpusError, match=message):
        adapt_corpus("folder", tree(["happy/clip.wav"]))


def test_no_subfolders(tree):
    with pytest.raises(CorpusError, match=r"no audio in class subfolders; .* found a\.wav, b\.txt"):
        adapt_corpus("folder", tree(["a.wav", "b.txt"]))
