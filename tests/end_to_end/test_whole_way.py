"""From nothing to a prediction: a corpus is spoken, checked, cross-validated, verified, used."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("espeakng_loader")

RECIPE = """
[corpus]
manifest = {manifest!r}

[fusion]
dim = 32

[search]
epochs = 1

[train]
epochs = 2

[evaluate]
bootstrap = 200
"""
VOICES = ["f1", "f2", "m1"]
CLASSES = ["angry", "happy", "neutral", "sad"]
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def manifest(mfas: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    made = mfas(
        *("corpus", "synthetic", folder / "wav", "-o", folder / "m.csv"),
        *("--voices", "3", "--sentences", "1"),
    )
    assert made.stdout.splitlines()[1] == "per class: angry 3, happy 3, neutral 3, sad 3"
    return folder / "m.csv"


@pytest.fixture(scope="module")
def recipe(manifest: Path) -> Path:
    path = manifest.with_name("recipe.toml")
    path.write_text(RECIPE.format(manifest=str(manifest)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run_folder(mfas: Callable, recipe: Path) -> Path:
    out = recipe.with_name("run")
    assert "f1" in mfas("crossval", recipe, "--out", out).stdout
    return out


def test_the_corpus_is_sound(mfas, manifest):
    checked = mfas("corpus", "check", manifest)
    assert "12 utterances" in checked.stdout
    assert checked.stdout.endswith("every file decodes; nothing silent, clipped or twice\n")


def test_the_run_is_complete_honest_and_verifies(mfas, run_folder):
    result = json.loads((run_folder / "result.json").read_text(encoding="utf-8"))
    assert (result["protocol"], result["selection"], result["honest"]) == ("lospo", "inner", True)
    assert (result["n_utterances"], result["classes"]) == (12, CLASSES)
    assert [fold["test_speakers"] for fold in result["folds"]] == [[name] for name in VOICES]
    assert len([note for note in result["notes"] if "untrained" in note]) == 2
    assert 0 <= result["ua_ci95"][0] <= result["ua"] <= result["ua_ci95"][1] <= 1
    for name in ("recipe.toml", "environment.json", "folds.json", "log.jsonl", "report.html"):
        assert (run_folder / name).stat().st_size
    assert list(run_folder.glob("figures/*.png"))
    assert [path for path in run_folder.rglob(".*") if path.is_file()] == []
    strategies = json.loads((run_folder / "strategies.json").read_text(encoding="utf-8"))
    assert [len(found["weights"]) for found in strategies] == [3, 3, 3]
    assert "every hash matches" in mfas("verify", run_folder).stdout


def test_a_report_is_one_page_without_anything_from_elsewhere(mfas, run_folder, tmp_path):
    mfas("report", run_folder, "-o", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in page or 'src="data:image/' in page
    for elsewhere in ('src="http', "<link", "@import", "url(http"):
        assert elsewhere not in page
    assert "random weights" in page


def test_a_model_is_trained_and_used(mfas, recipe, manifest, tmp_path):
    mfas("train", recipe, "--out", tmp_path / "model")
    recording = min(manifest.parent.glob("wav/m1/*.wav"))
    used = mfas("predict", recording, "--model", tmp_path / "model", "--format", "json")
    (answer,) = json.loads(used.stdout)
    assert (answer["file"], sorted(answer["probabilities"])) == (str(recording), CLASSES)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_an_interrupted_run_resumes_to_the_same_bytes(
    mfas, recipe, run_folder, environment, tmp_path
):
    """Ctrl-C after the first fold, a kill after the second, and then to the end."""
    out = tmp_path / "run"
    command = ["crossval", str(recipe), "--out", str(out), "--resume", "--evaluate.workers", "1"]
    for finished, how in ((1, signal.SIGINT), (2, signal.SIGKILL)):
        returncode, errors = _end(command, environment, how, lambda n=finished: _folds(out) >= n)
        if how == signal.SIGINT:
            assert returncode == 1
            assert errors == [
                "mfas: interrupted; what was finished is kept, crossval and search take --resume"
            ]
        assert not (out / "result.json").exists()
    mfas(*command)
    for name in ("predictions.csv", "folds.json", "utterances.csv"):
        assert (out / name).read_bytes() == (run_folder / name).read_bytes()
    assert "every hash matches" in mfas("verify", out).stdout


def _folds(out: Path) -> int:
    return len(list(out.glob("folds/*/outcome.json")))


def _end(
    arguments: list[str], environment: dict[str, str], how: signal.Signals, ready: Callable
) -> tuple[int, list[str]]:
    """Start a command and send `how` to it and its workers, as a terminal does, once `ready`."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mfas", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready() and process.poll() is None:
            assert time.monotonic() < deadline, "no fold was finished in time"
            time.sleep(0.005)
        os.killpg(process.pid, how)
    finally:
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, errors.splitlines()
