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

from mfas.cli import main

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
INTERRUPTED = (
    "mfas: interrupted; what was finished is kept, pretrain, crossval and search take --resume"
)
ENDS = {signal.SIGINT: (1, [INTERRUPTED]), signal.SIGKILL: (-signal.SIGKILL, [])}


def write_recipe(folder: Path) -> Path:
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(manifest=str(folder / "m.csv")), encoding="utf-8")
    return path


def test_from_nothing_to_a_prediction(mfas, tmp_path):
    run_folder, model = tmp_path / "run", tmp_path / "model"
    made = mfas(
        *("corpus", "synthetic", tmp_path / "wav", "-o", tmp_path / "m.csv"),
        *("--voices", "3", "--sentences", "1"),
    )
    assert made.stdout.splitlines()[1] == "per class: angry 3, happy 3, neutral 3, sad 3"
    checked = mfas("corpus", "check", tmp_path / "m.csv")
    assert checked.stdout.endswith("every file decodes; nothing silent, clipped or twice\n")

    recipe = write_recipe(tmp_path)
    assert (
        f"report: {run_folder / 'report.html'}"
        in mfas("crossval", recipe, "--out", run_folder).stdout
    )
    assert "every hash matches" in mfas("verify", run_folder).stdout
    _assert_complete_and_honest(run_folder)
    mfas("report", run_folder, "-o", tmp_path / "page.html")
    _assert_one_page(tmp_path / "page.html")

    mfas("train", recipe, "--out", model)
    recording = min(tmp_path.glob("wav/m1/*.wav"))
    (answer,) = json.loads(mfas("predict", recording, "--model", model, "--format", "json").stdout)
    assert (answer["file"], sorted(answer["probabilities"])) == (str(recording), CLASSES)
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def _assert_complete_and_honest(run_folder: Path) -> None:
    result = json.loads((run_folder / "result.json").read_text(encoding="utf-8"))
    assert (result["protocol"], result["selection"], result["honest"]) == ("lospo", "inner", True)
    assert (result["n_utterances"], result["classes"]) == (12, CLASSES)
    assert [fold["test_speakers"] for fold in result["folds"]] == [[name] for name in VOICES]
    assert not [note for note in result["notes"] if "untrained" in note]
    assert {name: facts["name"] for name, facts in result["encoders"].items()} == {
        "sec": "sec-compact",
        "tec": "tec-compact",
    }
    assert 0 <= result["ua_ci95"][0] <= result["ua"] <= result["ua_ci95"][1] <= 1
    for name in ("recipe.toml", "environment.json", "folds.json", "log.jsonl", "report.html"):
        assert (run_folder / name).stat().st_size
    assert list(run_folder.glob("figures/*.png"))
    assert [path for path in run_folder.rglob(".*") if path.is_file()] == []
    strategies = json.loads((run_folder / "strategies.json").read_text(encoding="utf-8"))
    assert [len(found["weights"]) for found in strategies] == [3, 3, 3]


def _assert_one_page(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert "<svg" in page or 'src="data:image/' in page
    assert "sec-compact" in page
    for elsewhere in ('src="http', "<link", "@import", "url(http"):
        assert elsewhere not in page


def test_an_interrupted_run_resumes_to_the_same_bytes(
    mfas, environment, tmp_path, monkeypatch, capsys
):
    """Ctrl-C after the first fold, a kill after the second, and then to the end."""
    monkeypatch.setenv("MFAS_CACHE", environment["MFAS_CACHE"])
    wav, manifest = str(tmp_path / "wav"), str(tmp_path / "m.csv")
    main(["corpus", "synthetic", wav, "-o", manifest, "--voices", "3", "--sentences", "1"])
    recipe, out, whole = write_recipe(tmp_path), tmp_path / "run", tmp_path / "whole"
    slow = ["--train.epochs", "15", "--train.patience", "15"]  # so that it can be met in the middle
    common = ["crossval", str(recipe), "--evaluate.workers", "1", *slow]
    assert main([*common, "--out", str(whole)]) == 0
    command = [*common, "--out", str(out), "--resume"]
    for finished, how in ((1, signal.SIGINT), (2, signal.SIGKILL)):
        returncode, errors = _end(command, environment, how, lambda n=finished: _folds(out) >= n)
        assert (returncode, errors) == ENDS[how]
        assert not (out / "result.json").exists()
    mfas(*command)
    for name in ("predictions.csv", "folds.json", "utterances.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    assert "every hash matches" in capsys.readouterr().out


def _folds(out: Path) -> int:
    return len(list(out.glob("folds/*/outcome.json")))


def _hear_interrupts() -> None:
    """A shell that runs the tests in the background has them, and their children, ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


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
        preexec_fn=_hear_interrupts,  # noqa: PLW1509
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
