"""Manifests and corpus folders that cannot be used."""

import sys

import pytest
import soundfile


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "manifest.csv: empty; the first line must be file,speaker,label"),
        ("file,speaker,label\n", "manifest.csv: has a header but no rows; add one row"),
        ("file,speaker\na.wav,s\n", "manifest.csv: no column label in its header"),
        ("file,speaker,label\na,s,x\na,s,x\n", "line 3: a is already on line 2; keep one of them"),
        ("file,speaker,label\na,s,\n", "line 2: label is empty; fill it in or delete the row"),
    ],
)
def test_manifests_are_refused_alike(content, said, refusal, make_recipe, tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(content, encoding="utf-8")
    assert said in refusal("corpus", "check", manifest)
    assert said in refusal("crossval", make_recipe(manifest), "--out", tmp_path / "run")


def test_a_manifest_that_is_a_folder_or_missing(refusal, make_recipe, tmp_path):
    for manifest, said in (
        (tmp_path, "is a folder; name the manifest in it"),
        (tmp_path / "gone.csv", "no such manifest; make one with mfas corpus"),
    ):
        assert f"{manifest}: {said}" in refusal("corpus", "check", manifest)
        assert f"{manifest}: {said}" in refusal("crossval", make_recipe(manifest), "--out", "run")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ('--corpus.classes=["calm","gladd"]', "corpus.classes names 'gladd', which no utterance"),
        ('--corpus.merge={calmm="calm"}', "corpus.merge renames 'calmm', which no utterance has"),
        ('--corpus.classes=["calm"]', "one class only; recognition needs at least two"),
        ('--corpus.merge={glad="calm",tense="calm"}', "one class only; recognition needs"),
    ],
)
def test_labels_that_the_manifest_does_not_have(override, said, refusal, recipe, tone_corpus):
    line = refusal("crossval", recipe, "--out", "run", override)
    assert line.startswith(f"mfas: {tone_corpus}: {said}")


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (["a x", "a y", "a x", "a y"], "lospo needs at least 2 speakers, there is 1 (a); add"),
        (["a x", "a y", "b x", "b y"], "fold a of lospo: only b is left to train on"),
        (["a x", "a y", "b x", "c x"], "fold a of lospo: no training utterance of class y; leave"),
        (["a x", "b x", "c x"], "one class only; recognition needs at least two"),
    ],
)
def test_corpora_too_small_for_the_protocol(
    described, said, refusal, clips, make_manifest, make_recipe, tmp_path
):
    manifest = make_manifest(*clips(*described))
    line = refusal("crossval", make_recipe(manifest), "--out", tmp_path / "run")
    assert line.startswith(f"mfas: {manifest}: {said}")


def test_train_on_one_speaker(refusal, clips, make_manifest, make_recipe, tmp_path):
    manifest = make_manifest(*clips("a x", "a y", "a x", "a y"))
    line = refusal("train", make_recipe(manifest), "--out", tmp_path / "model")
    assert line.startswith(f"mfas: {manifest}: only a is left to train on")


def test_loso_without_sessions(refusal, clips, make_manifest, make_recipe, tmp_path):
    recipe = make_recipe(make_manifest(*clips("a x", "a y", "b x", "b y")))
    line = refusal("crossval", recipe, "--out", tmp_path / "run", "--evaluate.split", "loso")
    assert "loso needs a session for every utterance, 0.wav has none; fill the column" in line


@pytest.mark.parametrize("name", ["iemocap", "savee", "emodb", "ravdess", "cremad", "folder"])
def test_the_wrong_folder_for_every_corpus(name, refusal, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").touch()
    output = tmp_path / "out.csv"
    line = refusal("corpus", name, other, "-o", output)
    assert line.startswith(f"mfas: {other}: ")
    assert "looked " in line
    assert "found" in line
    assert "notes.txt" in line
    assert f"{tmp_path / 'gone'}: no such folder" in refusal("corpus", name, tmp_path / "gone")
    assert "is a file, not a folder" in refusal("corpus", name, other / "notes.txt")


def test_a_refused_corpus_leaves_the_manifest_of_before(refusal, tmp_path):
    (tmp_path / "emodb.csv").write_text("precious", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    refusal("corpus", "emodb", tmp_path / "empty", "-o", tmp_path / "emodb.csv")


def test_a_synthetic_corpus_needs_its_extra(refusal, tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader")
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    line = refusal("corpus", "synthetic", tmp_path / "corpus", "-o", tmp_path / "c.csv")
    assert "mfas[demo]" in line


def test_names_with_brackets_are_printed_as_they_are(mfas, tmp_path, voice):
    folder = tmp_path / "x[" / "red]"
    for number, label in enumerate(("[bold]", ":smile:")):
        (folder / label).mkdir(parents=True)
        soundfile.write(folder / label / "ann_1.wav", voice(8_000, number), 16_000)
    manifest = folder / "m.csv"
    made = mfas("corpus", "folder", folder, "-o", manifest)
    assert (made.code, made.err) == (0, [])
    assert made.out.splitlines() == [
        f"{manifest}: 2 utterances, 1 speakers",
        "per class: :smile: 1, [bold] 1",
        "per speaker: ann 2",
    ]
    (folder / "[bold]" / "ann_1.wav").write_bytes(b"")
    checked = mfas("corpus", "check", manifest)
    assert checked.code == 1
    assert f"{manifest}: 2 utterances" in checked.out
    assert f"{folder / '[bold]' / 'ann_1.wav'}: empty file" in checked.out
