"""Run folders held against each other: the answer of the paired test, for whom it means something."""

import shutil
from pathlib import Path

import pytest

from mfas.errors import RunError
from mfas.evaluate import compare_runs, cross_validate
from mfas.evaluate.paired import compare
from mfas.report import read_run
from mfas.storage import read_csv, read_json, write_csv, write_json


@pytest.fixture(scope="module")
def run(quick_recipe, tone_cache, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    recipe = quick_recipe("--fusion.strategy", "last:sum", "--train.epochs", "1")
    cross_validate(recipe, out, cache=tone_cache)
    return out


@pytest.fixture
def twin(run, tmp_path) -> Path:
    """The run with a name of its own, in another order, always saying "calm"."""
    folder = shutil.copytree(run, tmp_path / "twin")
    rows = [row | {"predicted": "calm"} for row in reversed(read_csv(folder / "predictions.csv"))]
    write_csv(folder / "predictions.csv", list(rows[0]), rows)
    write_json(folder / "result.json", read_json(folder / "result.json") | {"name": "twin"})
    return folder


def test_predictions_are_paired_by_utterance(run, twin):
    (pair,) = compare_runs([run, twin])
    rows = sorted(read_run(run).predictions, key=lambda row: row.file)
    expected = compare(
        [row.label for row in rows],
        [row.predicted for row in rows],
        ["calm"] * len(rows),
        [row.speaker for row in rows],
    )
    assert (pair.first, pair.second) == (0, 1)
    assert pair.sentence == expected.sentence(("quick", "twin"))
    assert (pair.first_only, pair.second_only) == (expected.first_only, expected.second_only)
    right = sum(row.label == row.predicted for row in rows)
    calm = sum(row.label == "calm" for row in rows)
    assert pair.first_only - pair.second_only == right - calm


def test_every_two_runs_are_compared_and_equal_ones_do_not_differ(run, twin, tmp_path):
    pairs = compare_runs([run, shutil.copytree(run, tmp_path / "copy"), twin])
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    assert pairs[0].sentence.startswith(
        "no difference shown: quick (one) minus quick (copy) is +0.0 points of UA"
    )
    assert pairs[0].p_value == 1


def test_runs_that_cannot_be_compared_give_no_answer(run, twin):
    write_json(twin / "result.json", read_json(twin / "result.json") | {"honest": False})
    assert compare_runs([run, twin]) == ()
    (twin / "result.json").rename(twin / "search.json")
    assert compare_runs([run, twin]) == ()


def test_a_broken_run_is_refused(run, tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        compare_runs([run, tmp_path / "gone"])
