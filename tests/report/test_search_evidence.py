"""The page of a comparison says what was found, draws what supernets did, and needs nothing else."""

import re
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path

import pytest

from mfas.errors import RunError
from mfas.evaluate.search_comparison import folders_of, gather, plan_searches
from mfas.report import write_search_evidence
from mfas.report.reading import read_search_run
from mfas.report.search_evidence import DIFFERENCES, draw_evidence
from mfas.storage import read_json, write_json


class Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_data(self, data):
        self.found.append(data)


def page_of(folder: Path) -> tuple[str, str]:
    write_search_evidence(folder)
    source = (folder / "report.html").read_text(encoding="utf-8")
    parser = Text()
    parser.feed(source)
    return source, " ".join(" ".join(parser.found).split())


@pytest.fixture
def compared(search_folder, quick_recipe):
    """A comparison of made-up searches: `compared(seeds=(0, 1), **conditions)` gives its folder."""

    def make(seeds=(0, 1), **conditions):
        plans = plan_searches(quick_recipe(), ("darts", "single_path", "exhaustive"), seeds, (5.0,))
        for number, plan in enumerate(plans):
            kept = {"method": plan.recipe.search.method, "seed": number} | conditions
            folder = search_folder(f"compared/{plan.folder}", **kept)
            searches = read_json(folder / "strategies.json")
            for search in searches:
                search["seed"] = plan.recipe.seed
                if search["method"] == "darts":
                    search["trajectory"] = [[[1 / 8] * 8] * 3, search["weights"]]
                if search["method"] in ("darts", "single_path"):
                    search["norms"] = [[[1.0] * 8] * 3, [[0.0, *[2.5] * 7]] * 3]
            write_json(folder / "strategies.json", searches)
        out = folder.parent
        write_json(out / "evidence.json", gather(out, folders_of(plans)))
        return out

    return make


def test_the_page_says_what_was_found_and_what_it_is_worth(compared):
    folder = compared()
    found = read_json(folder / "evidence.json")
    _, text = page_of(folder)
    assert "no test scores: inner validation chooses, it does not report" in text
    for sentence in [
        found["measure"],
        found["noise_sentence"],
        *chain(*found["sentences"].values()),
    ]:
        assert " ".join(sentence.split()) in text
    for warning in found["warnings"]:
        assert warning in text
    assert set(found["sentences"]) == {"darts", "single_path", "exhaustive", "darts-lr5"}
    for method in found["methods"]:
        regret = method["estimates"]["regret"]
        assert f"{100 * regret['mean']:.1f} [{100 * regret['ci95']['low']:.1f}, " in text
        for name in DIFFERENCES:
            assert f"{100 * method['estimates'][name]['mean']:+.1f} [" in text
    for row in found["candidates"]:
        assert row["candidate"] in text
    assert text.count("darts-lr5-s1") == 1


def test_weights_and_norms_are_drawn(compared):
    source, text = page_of(compared())
    assert (
        source.count('<polyline class="heaviest"') == 2 * 3 * 3
    )  # darts and its sweep, folds, levels
    assert text.count("Size of outputs") == 3  # single_path has no weights, but norms
    assert "2.50 ×2.5" in text
    assert "×0.0" in text


def test_older_searches_without_norms_are_shown_without_them(compared):
    folder = compared()
    for path in folder.glob("*-s*/strategies.json"):
        searches = read_json(path)
        for search in searches:
            search.pop("norms", None)
        write_json(path, searches)
    _, text = page_of(folder)
    assert "Size of outputs" not in text
    assert "Weights over the search" in text


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given(compared):
    hostile = "<script>alert(1)</script>"
    source, text = page_of(compared(name=hostile, notes=[hostile], leaks=[hostile]))
    assert "<script" not in source
    assert hostile in text
    assert not re.findall(
        r'(?:src|href)="(?!data:|https://arxiv\.org|[\w.-]+/report\.html")', source
    )
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source
    assert "nan" not in text.lower().replace("provenance", "")


def test_one_fold_has_no_intervals(compared):
    folder = compared(folds=1)
    _, text = page_of(folder)
    assert "From one fold it cannot be said" in text


def test_the_figure_is_the_same_for_the_same_evidence(compared):
    folder = compared(seeds=(0,))
    write_search_evidence(folder)
    first = (folder / "evidence.png").read_bytes()
    write_search_evidence(folder)
    assert (folder / "evidence.png").read_bytes() == first
    axes = draw_evidence(read_json(folder / "evidence.json")).axes
    names = [tick.get_text() for tick in axes[0].get_yticklabels()]
    assert names == ["darts", "single_path", "exhaustive", "darts-lr5"]
    assert [line.get_label() for line in axes[2].lines] == ["darts", "darts-lr5"]


def test_norms_of_another_shape_are_refused(search_folder):
    folder = search_folder(folds=1)
    searches = read_json(folder / "strategies.json")
    write_json(folder / "strategies.json", [search | {"norms": [[[1.0]]]} for search in searches])
    with pytest.raises(RunError, match="norms of fold 0 are not 3 x 8"):
        read_search_run(folder)
