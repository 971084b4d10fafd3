import pytest

from mfas.corpora import adapt_corpus

CODES = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
NUMBERS = {code: 30 if code == "n" else 15 for code in CODES}


@pytest.mark.parametrize("shape", ["{0}_{1}.wav", "{0}/{1}.wav", "AudioData/{0}/{1}.WAV"])
def test_the_whole_corpus_in_every_shape(tree, shape):
    folder = tree(
        shape.format(speaker, f"{code}{number:02d}")
        for speaker in ("DC", "JE", "JK", "KL")
        for code, count in NUMBERS.items()
        for number in range(1, count + 1)
    )
    manifest = adapt_corpus("savee", folder)
    assert len(manifest) == 480
    assert manifest.counts() == {CODES[code]: 4 * count for code, count in NUMBERS.items()}
    assert manifest.speaker_counts() == dict.fromkeys(("DC", "JE", "JK", "KL"), 120)
    assert {u.gender for u in manifest} == {"male"}
    assert manifest.skipped == ()


def test_names_without_a_speaker_are_left_out(tree):
    manifest = adapt_corpus("savee", tree(["DC_su07.wav", "a01.wav", "XX_a01.wav", "DC_x01.wav"]))
    assert [(u.speaker, u.label) for u in manifest] == [("DC", "surprise")]
    assert len(manifest.skipped) == 3
