import pytest

from mfas.corpora import adapt_corpus, read_manifest, write_manifest
from mfas.errors import CorpusError


def test_an_unknown_corpus_gets_the_nearest_known_one(tmp_path):
    with pytest.raises(CorpusError, match=r"emo-db: not a known corpus; did you mean emodb\?"):
        adapt_corpus("emo-db", tmp_path)


def test_folders_that_are_none(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match=r"gone: no such folder; name the folder that savee was"):
        adapt_corpus("savee", tmp_path / "gone")
    with pytest.raises(CorpusError, match=r"file: is a file, not a folder"):
        adapt_corpus("savee", tmp_path / "file")


def test_what_was_looked_for_and_found_is_said(tree, tmp_path):
    with pytest.raises(CorpusError, match=r"no EMO-DB recordings.*03a01Fa\.wav, found no audio"):
        adapt_corpus("emodb", tmp_path)
    message = r"corpus: no EMO-DB recordings; .* found 2 audio files such as x/one\.wav; name the"
    with pytest.raises(CorpusError, match=message):
        adapt_corpus("emodb", tree(["x/one.wav", "x/two.FLAC", "x/readme.txt"]))


def test_other_files_are_listed_and_hidden_ones_passed_over(tree):
    folder = tree(["wav/03a01Fa.wav", "wav/._03a01Fa.wav", ".git/03a01Nc.wav", "wav/extra.wav"])
    manifest = adapt_corpus("emodb", folder)
    assert [u.file for u in manifest] == ["wav/03a01Fa.wav"]
    assert manifest.skipped == ("wav/extra.wav: not an EMO-DB name",)


def test_two_copies_are_refused(tree):
    folder = tree(["wav/03a01Fa.wav", "flac/03a01Fa.flac", "wav/03a01Nc.wav"])
    message = r"1 recordings are there twice, e\.g\. flac/03a01Fa\.flac and wav/03a01Fa\.wav"
    with pytest.raises(CorpusError, match=message):
        adapt_corpus("emodb", folder)


def test_an_adapted_corpus_is_written_and_read_again(tree, tmp_path):
    manifest = adapt_corpus("emodb", tree(["wav/03a01Fa.wav", "wav/16b10Tb.WAV"]))
    write_manifest(manifest, tmp_path / "lists" / "emodb.csv")
    read = read_manifest(tmp_path / "lists" / "emodb.csv")
    assert [u.file for u in read] == ["../corpus/wav/03a01Fa.wav", "../corpus/wav/16b10Tb.WAV"]
    assert [u.path for u in read] == [u.path for u in manifest]
    assert [u.text for u in read] == [u.text for u in manifest]
