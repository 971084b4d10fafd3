"""A run folder is read whole, or refused with one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mfas.errors import RunError
from mfas.report import read_run
from mfas.storage import read_json, write_json, write_text

RunFolder = Callable[..., Path]


def test_reads_what_the_folder_says(run_folder: RunFolder) -> None:
    run = read_run(run_folder(folds=3))
    assert [fold.fold for fold in run.result.folds] == ["0", "1", "2"]
    assert len(run.predictions) == run.result.n_utterances == sum(map(sum, run.result.confusion))
    assert str(run.searches[0].strategy) == str(run.result.folds[0].strategy)
    assert {epoch.stage for epoch in run.epochs} == {"search", "train"}
    assert run.environment["cores"] == 2
    assert "emodb-compact" in run.recipe


FILES = ("result.json", "strategies.json", "log.jsonl", "predictions.csv", "environment.json",
         "recipe.toml")  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(run_folder: RunFolder, name: str) -> None:
    folder = run_folder(folds=1)
    (folder / name).unlink()
    _refused(folder, name, "missing")


@pytest.mark.parametrize("name", FILES[:5])
def test_a_broken_file_is_named(run_folder: RunFolder, name: str) -> None:
    folder = run_folder(folds=1)
    write_text(folder / name, '{"half": \n')
    _refused(folder, name)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("ua", 74.3, "ua"),
        ("ua", float("nan"), "ua"),
        ("protocol", "random", "protocol"),
        ("confusion", [[1, 2]], "confusion is not 7 x 7"),
        ("folds", [], "folds"),
        ("folds", [{"fold": 0}], "folds.0.test_speakers"),
        ("encoders", {"sec": None}, "encoders.tec"),
    ],
)
def test_a_wrong_result_is_explained(
    run_folder: RunFolder, key: str, value: object, words: str
) -> None:
    folder = run_folder(folds=1)
    content = read_json(folder / "result.json") | {key: value}
    write_text(folder / "result.json", json.dumps(content))
    _refused(folder, "result.json", words)


def test_weights_of_the_wrong_shape_are_refused(run_folder: RunFolder) -> None:
    folder = run_folder(folds=1)
    searches = read_json(folder / "strategies.json")
    searches[0]["weights"].pop()
    write_json(folder / "strategies.json", searches)
    _refused(folder, "strategies.json", "not 3 x 8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("p_anger", "p_rage"), "no column 'p_anger'"),
        ((",03,anger,", ",03,rage,"), "line 2"),
    ],
)
def test_predictions_must_fit_the_classes(
    run_folder: RunFolder, change: tuple[str, str], words: str
) -> None:
    folder = run_folder(folds=1)
    text = (folder / "predictions.csv").read_text(encoding="utf-8")
    write_text(folder / "predictions.csv", text.replace(*change))
    _refused(folder, "predictions.csv", words)


def test_empty_predictions_are_refused(run_folder: RunFolder) -> None:
    folder = run_folder(folds=1)
    header = (folder / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    write_text(folder / "predictions.csv", header + "\n")
    _refused(folder, "predictions.csv", "no predictions")


def test_a_broken_log_line_is_counted(run_folder: RunFolder) -> None:
    folder = run_folder(folds=1)
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"fold": 0, "st')
    _refused(folder, "log.jsonl", "line 25 is not JSON")


def test_no_folder(tmp_path: Path) -> None:
    _refused(tmp_path / "nothing", "no such run folder")


def _refused(folder: Path, *words: str) -> None:
    with pytest.raises(RunError) as caught:
        read_run(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    for word in (*words, ": ", "; "):
        assert word in message
