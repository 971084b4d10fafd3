from pathlib import Path

import pytest

from mfas.corpora import Manifest, Utterance
from mfas.errors import ManifestError


def utterance(file: str, label: str = "a", start: float | None = None) -> Utterance:
    return Utterance(file, Path("/c") / file, "s", label, start=start)


def test_utterances_are_sorted_whatever_their_order():
    rows = [utterance("b"), utterance("a", start=2.0), utterance("a", start=10.0), utterance("a")]
    assert Manifest(tuple(rows)) == Manifest(tuple(reversed(rows)))
    positions = [(u.file, u.start) for u in Manifest(tuple(rows))]
    assert positions == [("a", None), ("a", 2.0), ("a", 10.0), ("b", None)]


def test_counts_classes_and_speakers(corpus):
    manifest = corpus(speakers=4, classes="ba", per_class=2)
    assert len(manifest) == 16
    assert manifest.classes == ("a", "b")
    assert manifest.speakers == ("s0", "s1", "s2", "s3")
    assert manifest.sessions == ("Ses0", "Ses1")
    assert manifest.counts() == {"a": 8, "b": 8}
    assert manifest.speaker_counts() == dict.fromkeys(manifest.speakers, 4)


def test_select_merges_and_keeps_where_it_came_from():
    rows = (utterance("1", "excited"), utterance("2", "happy"), utterance("3", "other"))
    manifest = Manifest(rows, path=Path("m.csv"), skipped=("x: y",))
    selected = manifest.select(["happy"], {"excited": "happy"})
    assert [u.label for u in selected] == ["happy", "happy"]
    assert selected.path == Path("m.csv")
    assert selected.skipped == ("x: y", "labels that corpus.classes leaves out: other 1")
    assert manifest.select((), {"excited": "happy"}).skipped == ("x: y",)
    assert manifest.select() == manifest


def test_select_names_the_manifest_and_the_nearest_label():
    manifest = Manifest((utterance("1", "happy"),), path=Path("m.csv"))
    with pytest.raises(ManifestError, match=r"m\.csv: .*'Happyy'.*did you mean happy\?"):
        manifest.select(["Happyy"])
