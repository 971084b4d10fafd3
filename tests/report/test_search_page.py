"""A search alone has a page and a table of its own, and never passes for a tested run."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mfas.errors import RunError
from mfas.report import search_table, write_report, write_search_report
from mfas.report.curves import curves
from mfas.report.reading import read_search_run
from mfas.report.scores import fold_searches, mean
from mfas.report.trajectories import trajectories
from mfas.storage import read_json, write_json, write_text

Folder = Callable[..., Path]


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def page_of(folder: Path) -> tuple[str, str]:
    """The page's source, and its text with single spaces."""
    target = folder.parent / "out" / "report.html"
    write_search_report(folder, target)
    source = target.read_text(encoding="utf-8")
    parser = Text()
    parser.feed(source)
    return source, " ".join(" ".join(parser.found).split())


def changed(folder: Path, **changes: Any) -> None:
    """Change every entry of strategies.json."""
    searches = read_json(folder / "strategies.json")
    write_json(folder / "strategies.json", [search | changes for search in searches])


def table_of(folder: Path) -> str:
    console = Console(width=120)
    with console.capture() as shown:
        console.print(search_table(folder))
    return shown.get()


def test_says_what_was_chosen_and_what_the_scores_are_worth(search_folder: Folder) -> None:
    folder = search_folder(folds=3, notes=["a note"], leaks=["a leak"], honest=False)
    changed(folder, strategy={"level": "last", "operation": "ism"})
    source, text = page_of(folder)
    assert "All 3 searches chose last:ism." in text
    assert "in 3 of 3 folds" in text
    assert "no test scores: inner validation, optimistic" in text
    assert "so they are optimistic" in text
    assert "✓ honest" not in text
    assert "Verify this page" not in text
    assert "mfas crossval search/recipe.toml --out search --resume" in text
    assert source.count('<table class="weights">') == 3
    assert source.count('class="cell chosen"') == 2 * 3  # operation weights, paths by fold
    for words in ("a note", "a leak", "Search curves", "Groups of speakers", "AMD EPYC", "lospo"):
        assert words in text


def test_a_head_in_closed_form_leaves_speakers_out(search_folder: Folder) -> None:
    folder = search_folder(folds=2, method="exhaustive", protocol="lospo")
    write_text(folder / "recipe.toml", '[head]\nkind = "ridge"\n')
    _, text = page_of(folder)
    assert "no test scores: training speakers left out, optimistic" in text
    assert "UA with each training speaker left out, of the choices" in text
    assert "Search curves" not in text


def test_zero_is_the_reference(search_folder: Folder) -> None:
    folder = search_folder(folds=2)
    scores = {"first:zero": 0.3, "last:zero": 0.4, "last:ism": 0.6, "last:sum": 0.6}
    changed(folder, scores=scores, strategy={"level": "last", "operation": "sum"})
    row = fold_searches(read_search_run(folder))[0]
    assert (row.ua, row.best, row.best_ua) == (0.6, "last:sum", 0.6)
    assert (row.zero, row.mean, row.seconds) == (pytest.approx(0.35), pytest.approx(0.475), 12.5)
    source, text = page_of(folder)
    assert "which computes nothing: 35.0 on average" in text
    assert source.count('class="zero"') == len(scores)


def test_a_mean_needs_values() -> None:
    assert mean([]) is mean([None]) is None
    assert mean([0.5, None, 0.7]) == pytest.approx(0.6)


SEARCHED = ("darts", "single_path", "perturbation", "random", "exhaustive")


@pytest.mark.parametrize("method", [*SEARCHED, "fixed", None])
def test_every_kind_of_search_has_a_page_and_a_table(search_folder: Folder, method: str) -> None:
    folder = search_folder(method=method)
    source, _ = page_of(folder)
    assert "nan" not in source.lower().replace("provenance", "")
    assert ("Paths by fold" in source) == (method in SEARCHED)
    assert "emodb-compact" in table_of(folder)


def test_nothing_to_search_is_said(search_folder: Folder) -> None:
    folder = search_folder()
    write_json(folder / "strategies.json", [])
    write_text(folder / "log.jsonl", "")
    assert (
        "Nothing was searched: the recipe fixes the strategy (no adjustment)" in page_of(folder)[1]
    )
    assert "Nothing was searched" in table_of(folder)
    assert "optimistic" not in table_of(folder)


def test_a_fixed_strategy_is_recorded_in_short(search_folder: Folder) -> None:
    folder = search_folder(folds=1)
    strategy = {"level": "last", "operation": "sum"}
    short = {"fold": "0", "seed": 0, "method": "fixed", "strategy": strategy}
    write_json(folder / "strategies.json", [short | {"weights": None, "scores": {}}])
    assert "the recipe fixes the strategy (last:sum)" in page_of(folder)[1]


def test_untrained_encoders_have_a_banner(search_folder: Folder) -> None:
    encoder = {"name": "compact", "trained": False, "finetuned": False, "fingerprint": "ab"}
    _, text = page_of(search_folder(encoders={"sec": encoder, "tec": None}))
    assert "The SEC encoder has random weights" in text
    assert "The TEC encoder" not in text


def test_hostile_strings_are_escaped(search_folder: Folder) -> None:
    hostile = "<script>alert(1)</script>"
    folder = search_folder(name=hostile, notes=[hostile], leaks=[hostile], classes=[hostile, "b"])
    changed(folder, fold=hostile)
    assert "<script" not in page_of(folder)[0]
    assert hostile in table_of(folder)


def test_weights_over_epochs_are_drawn_by_level(search_folder: Folder) -> None:
    folder = search_folder(folds=1)
    flat, peak = [0.125] * 8, [0.04] * 6 + [0.72, 0.04]
    changed(folder, trajectory=[[flat] * 3, [flat, flat, peak], [flat, flat, peak]])
    (panel,) = trajectories(read_search_run(folder).searches)
    assert (panel.epochs, panel.ceiling, len(panel.strips)) == (3, 0.8, 3)
    assert (panel.strips[2].level, panel.strips[2].heaviest) == ("last", "ism")
    assert panel.strips[2].strokes[-1].kind == "heaviest"
    heights = [float(p.split(",")[1]) for p in panel.strips[2].strokes[-1].points.split()]
    assert panel.strips[2].top < heights[2] == heights[1] < heights[0] < panel.strips[2].bottom
    assert page_of(folder)[0].count('<polyline class="heaviest"') == 3
    changed(folder, trajectory=[[flat] * 3, [flat] * 2])
    with pytest.raises(RunError, match="not 3 x 8"):
        read_search_run(folder)


def test_of_candidates_the_chosen_one_is_drawn(search_folder: Folder) -> None:
    folder = search_folder(folds=1, method="random")
    changed(folder, strategy={"level": "last", "operation": "ism"})
    lines = [
        {"fold": 0, "stage": "search", "candidate": name, "epoch": epoch, "train_loss": loss}
        for name, loss in (("last:sum", 9.0), ("last:ism", 2.0), ("first:sum", 8.0))
        for epoch in range(2)
    ]
    write_text(folder / "log.jsonl", "\n".join(map(json.dumps, lines)))
    (panel,) = curves(read_search_run(folder))
    assert panel.losses[0].points == ((0.0, 2.0), (1.0, 2.0))
    source, text = page_of(folder)
    assert "validation UA, %" not in text
    assert source.count("<polyline") == 1


def test_table_shows_scores_and_agreement(search_folder: Folder) -> None:
    folder = search_folder(folds=2, name="[red]x")
    scores = {"last:ism": 0.612, "last:zero": 0.5}
    changed(folder, scores=scores, strategy={"level": "last", "operation": "zero"})
    text = table_of(folder)
    for words in (
        "[red]x",
        "last:zero",
        "50.0",
        "61.2",
        "55.6",
        "12.5",
        "All 2 searches",
        "optimis",
    ):
        assert words in text


def test_report_tells_a_search_from_a_run(
    search_folder: Folder, run_folder: Folder, tmp_path: Path
) -> None:
    search, other, run = search_folder(), search_folder("other"), run_folder()
    target = tmp_path / "page.html"
    write_report([search], target)
    assert target.read_text(encoding="utf-8") == page_of(search)[0]
    for folders in ([run, search], [search, other]):
        with pytest.raises(RunError, match=r"search: holds a search alone.*; report it by itself"):
            write_report(folders, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


def test_a_search_that_was_finished_is_a_run(run_folder: Folder, tmp_path: Path) -> None:
    run = run_folder()
    write_json(run / "search.json", {})
    write_report([run], tmp_path / "page.html")
    assert "✓ honest" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["search.json", "strategies.json", "log.jsonl", "recipe.toml"])
def test_a_missing_or_broken_file_is_named(search_folder: Folder, name: str) -> None:
    folder = search_folder()
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"{re.escape(name)}: missing.*; run it again"):
        page_of(folder)


def test_wrong_conditions_are_explained(search_folder: Folder) -> None:
    folder = search_folder(protocol="random")
    with pytest.raises(RunError, match=r"search\.json: protocol: .*; "):
        read_search_run(folder)
    with pytest.raises(RunError, match="no such run folder"):
        read_search_run(folder / "none")
