"""Recordings that cannot be used, through every command that reads audio."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

FAULTS = {
    "missing": "no such file",
    "folder": "is a folder; name a file in it",
    "empty": "empty file (0 bytes); copy or record it again",
    "text": "not readable as audio",
    "truncated": "truncated, its header promises more audio; copy it again",
    "nan": "holds samples that are not finite numbers; export it again",
    "short": "too short (0.1 ms); at least 25 ms are needed",
    "silent": "silent (peak below -80 dBFS); check the recording",
}


@pytest.fixture(params=FAULTS)
def bad(request, tmp_path: Path, voice: Callable[..., np.ndarray]) -> tuple[Path, str]:
    """A recording with a fault, and what must be said of it."""
    path = tmp_path / f"{request.param}.wav"
    spoilt = voice(16_000)
    match request.param:
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "text":
            path.write_text("no recording, whatever the name says\n" * 50)
        case "truncated":
            soundfile.write(path, spoilt, 16_000)
            path.write_bytes(path.read_bytes()[:9_000])
        case "nan":
            spoilt[5_000] = np.nan
            soundfile.write(path, spoilt, 16_000, subtype="FLOAT")
        case "short":
            soundfile.write(path, spoilt[:1], 16_000)
        case "silent":
            soundfile.write(path, np.zeros(16_000), 16_000)
    return path, FAULTS[request.param]


@pytest.fixture
def manifest_with(tone_corpus: Path, make_manifest) -> Callable[[Path], Path]:
    """The tone corpus with one more row."""

    def write(path: Path) -> Path:
        _, *rows = tone_corpus.read_text(encoding="utf-8").splitlines()
        parts = (row.split(",") for row in rows)
        good = [f"{tone_corpus.parent / file},{who},{what}" for file, who, what, _ in parts]
        return make_manifest(*good, f"{path.name},ann,calm")

    return write


@pytest.mark.parametrize("bad", [name for name in FAULTS if name != "folder"], indirect=True)
def test_predict_goes_on_with_the_others(bad, mfas, model, tone_corpus, tmp_path):
    path, fault = bad
    good = tone_corpus.parent / "bob" / "glad0.wav"
    before = sorted(tmp_path.rglob("*"))
    outcome = mfas("predict", path, good, "--model", model, "--format", "json")
    assert outcome.code == 1
    failed, predicted = json.loads(outcome.out)
    assert set(failed) == {"file", "error"}
    assert failed["file"] == str(path)
    assert failed["error"].startswith(f"{path}: {fault}")
    assert predicted["file"] == str(good)
    assert set(predicted["probabilities"]) == {"calm", "glad", "tense"}
    assert outcome.complaints == []
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("format", ["table", "csv"])
def test_predict_names_unreadable_files_on_standard_error(format, mfas, model, tmp_path):
    (tmp_path / "a.wav").touch()
    outcome = mfas("predict", tmp_path / "a.wav", "--model", model, "--format", format)
    assert outcome.code == 1
    assert outcome.complaints == [
        f"mfas: {tmp_path / 'a.wav'}: empty file (0 bytes); copy or record it again"
    ]


def test_predict_of_a_folder_without_audio(refusal, model, tmp_path):
    (tmp_path / "notes.txt").touch()
    line = refusal("predict", tmp_path, "--model", model)
    assert line == (
        f"mfas: {tmp_path}: no audio files in this folder; name files or another folder"
    )


def test_corpus_check_reports_it(bad, mfas, manifest_with):
    path, fault = bad
    manifest = manifest_with(path)
    outcome = mfas("corpus", "check", manifest)
    assert outcome.code == 1
    assert outcome.err == [f"mfas: {manifest}: problems found: 1; correct files or rows"]
    assert [line for line in outcome.out.splitlines() if line.startswith(f"{path}: {fault}")]


def test_crossval_refuses_it_before_anything_is_written(bad, refusal, make_recipe, manifest_with):
    path, fault = bad
    recipe = make_recipe(manifest_with(path))
    line = refusal("crossval", recipe, "--out", path.parent / "run")
    assert line.startswith(f"mfas: {path}: {fault}")


def test_train_refuses_it_before_anything_is_written(refusal, make_recipe, manifest_with, tmp_path):
    recipe = make_recipe(manifest_with(tmp_path / "gone.wav"))
    assert "gone.wav: no such file" in refusal("train", recipe, "--out", tmp_path / "model")
