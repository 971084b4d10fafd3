"""Four figures of every run, with bytes that can be hashed."""

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest

from mfas.report import write_figures
from mfas.storage import sha256_of_file, write_text

NAMES = ["confusion.png", "weights.png", "curves.png", "folds.png"]
RunFolder = Callable[..., Path]


def test_rewriting_gives_identical_bytes(run_folder: RunFolder) -> None:
    folder = run_folder(folds=2)
    written = write_figures(folder)
    assert [path.name for path in written] == NAMES
    before = [sha256_of_file(path) for path in written]
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red"}):
        again = [sha256_of_file(path) for path in write_figures(folder)]
    assert again == before
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert b"atplotlib" not in content
        assert b"tEXt" not in content


@pytest.mark.parametrize(
    "choices",
    [
        {"folds": 1, "classes": ["a", "b"], "method": None},
        {"folds": 1, "classes": ["$x$", "<script>", "a" * 80, "情感", "e", "f", "g", "h"]},
        {"folds": 6, "classes": ["a", "b", "c"], "method": "exhaustive"},
    ],
)
def test_draws_every_kind_of_run(run_folder: RunFolder, choices: dict) -> None:
    assert all(path.stat().st_size > 3000 for path in write_figures(run_folder(**choices)))


def test_draws_a_run_without_a_log(run_folder: RunFolder) -> None:
    folder = run_folder(folds=1)
    write_text(folder / "log.jsonl", "")
    assert len(write_figures(folder)) == 4
