import os
from pathlib import Path

import pytest

from mfas.corpora import adapt_corpus, check_manifest, make_folds

REPOSITORY = Path(__file__).parents[3]
CORPORA = Path(os.environ.get("MFAS_CORPORA", REPOSITORY.parent / "shared" / "corpora"))


def test_names_are_read(tree):
    folder = tree([f"03a01{letter}a.wav" for letter in "WLEAFTN"] + ["08b09Lb.flac"])
    manifest = adapt_corpus("emodb", folder)
    assert {u.file[5]: u.label for u in manifest} == {
        "W": "anger",
        "L": "boredom",
        "E": "disgust",
        "A": "fear",
        "F": "happiness",
        "T": "sadness",
        "N": "neutral",
    }
    woman = next(u for u in manifest if u.speaker == "08")
    assert (woman.gender, woman.session) == ("female", None)
    assert woman.text == "Ich will das eben wegbringen und dann mit Karl was trinken gehen."
    assert next(u for u in manifest if u.speaker == "03").gender == "male"


def test_speakers_and_texts_that_it_does_not_have_are_left_out(tree):
    manifest = adapt_corpus("emodb", tree(["03a01Fa.wav", "04a01Fa.wav", "03a03Fa.wav"]))
    assert len(manifest) == 1
    assert len(manifest.skipped) == 2


@pytest.mark.corpora
@pytest.mark.skipif(not (CORPORA / "emodb").is_dir(), reason="EMO-DB is not here")
def test_the_real_corpus():
    manifest = adapt_corpus("emodb", CORPORA / "emodb")
    assert manifest.counts() == {
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    }
    assert list(manifest.speaker_counts().values()) == [49, 58, 43, 38, 55, 35, 61, 69, 56, 71]
    assert manifest.skipped == ()
    report = check_manifest(manifest, workers=2)
    assert report.ok
    assert round(report.seconds / 60, 1) == 24.8
    for fold in make_folds(manifest, "lospo", 0, 0.2, "inner"):
        assert len({manifest.utterances[i].label for i in fold.validation}) == 7
