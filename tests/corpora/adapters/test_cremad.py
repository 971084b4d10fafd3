from mfas.corpora import adapt_corpus


def test_names_are_read(tree):
    names = ["1001_DFA_ANG_XX", "1001_IEO_SAD_HI", "1002_WSI_NEU_XX", "1040_ITH_SAD_X"]
    manifest = adapt_corpus("cremad", tree(f"AudioWAV/{name}.wav" for name in names))
    assert [(u.speaker, u.label) for u in manifest] == [
        ("1001", "anger"),
        ("1001", "sadness"),
        ("1002", "neutral"),
        ("1040", "sadness"),
    ]
    assert manifest.utterances[0].text == "Don't forget a jacket."


def test_names_of_no_sentence_or_level_are_left_out(tree):
    manifest = adapt_corpus(
        "cremad", tree(["1001_DFA_HAP_LO.wav", "1001_ABC_HAP_LO.wav", "1001_DFA_HAP_ZZ.wav"])
    )
    assert manifest.counts() == {"happiness": 1}
    assert len(manifest.skipped) == 2
