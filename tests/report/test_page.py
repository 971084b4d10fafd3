"""The page needs nothing else, escapes everything, and says what a number is worth."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mfas.errors import RunError
from mfas.report import write_report
from mfas.report.page import duration, names, percent, probability
from mfas.storage import write_json, write_text

RunFolder = Callable[..., Path]
UNTRAINED = {"name": "compact", "trained": False, "finetuned": False, "fingerprint": "ab"}
VOID = {"meta", "link", "br", "img", "input", "hr"}


class Balance(HTMLParser):
    """Fails on a tag that is closed in the wrong place; gathers tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page_of(*folders: Path) -> tuple[str, str]:
    """The page's source, and its text with single spaces."""
    target = folders[0].parent / "out" / "report.html"
    write_report(folders, target)
    source = target.read_text(encoding="utf-8")
    parser = Balance()
    parser.feed(source)
    assert not parser.open
    assert not parser.tags & {"script", "iframe", "object", "link", "img"}
    return source, " ".join(" ".join(parser.text).split())


def test_is_self_contained_and_repeatable(run_folder: RunFolder) -> None:
    folder = run_folder(folds=3)
    source, _ = page_of(folder)
    assert "src=" not in source
    assert "url(" not in source
    assert "@import" not in source
    links = set(re.findall(r'href="([^"]*)"', source))
    assert {link for link in links if not link.startswith("#")} == {
        "https://arxiv.org/abs/2306.09361"
    }
    assert page_of(folder)[0] == source
    assert "prefers-color-scheme: dark" in source
    assert "@media print" in source


def test_says_the_headline_and_how_to_verify(run_folder: RunFolder) -> None:
    folder = run_folder(
        "my run", folds=3, ua=0.6842, ua_ci95=[0.6, 0.75], wa=0.7, macro_f1=0.66, n_utterances=5531
    )
    _, text = page_of(folder)
    assert "68.4" in text
    assert "95 % interval 60.0 to 75.0" in text
    assert "5,531" in text
    assert "✓ honest" in text
    assert "OPTIMISTIC" not in text
    assert "mfas verify 'my run'" in text
    assert "never heard" in text


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"honest": False, "leaks": ["same text in training and test"]}, "same text"),
        ({"honest": True, "protocol": "kfold10"}, "the same speakers are in training and test"),
        ({"honest": True, "selection": "paper"}, "the epoch was chosen on the test fold"),
        ({"honest": False}, "without a reason"),
    ],
)
def test_optimistic_results_are_stamped(run_folder: RunFolder, result: dict, reason: str) -> None:
    _, text = page_of(run_folder(folds=2, **result))
    assert re.search(f"OPTIMISTIC: [^.]*{reason}", text)
    assert "✓ honest" not in text


def test_untrained_encoders_have_a_banner(run_folder: RunFolder) -> None:
    _, text = page_of(run_folder(folds=1, encoders={"sec": UNTRAINED, "tec": None}))
    assert "The SEC encoder has random weights" in text
    assert "The TEC encoder" not in text
    _, trained = page_of(run_folder("trained", folds=1))
    assert "random weights" not in trained


def test_an_untrained_encoder_that_was_finetuned_is_told_apart(run_folder: RunFolder) -> None:
    tuned = UNTRAINED | {"finetuned": True}
    _, text = page_of(run_folder(folds=1, encoders={"sec": None, "tec": tuned}))
    assert "The TEC encoder began with random weights" in text


def test_hostile_strings_are_escaped(run_folder: RunFolder) -> None:
    hostile = '<script>alert("1")</script>'
    folder = run_folder(
        folds=2, classes=[hostile, "{{ 7*7 }}", "b & c"], name=hostile, notes=[hostile],
        leaks=[hostile], honest=False, encoders={"sec": UNTRAINED | {"name": hostile}, "tec": None},
    )  # fmt: skip
    write_text(folder / "recipe.toml", f"name = '''</pre>{hostile}'''")
    write_json(folder / "environment.json", {hostile: hostile})
    source, text = page_of(folder)
    assert "<script" not in source
    assert "</pre><" not in source
    assert hostile in text
    assert "{{ 7*7 }}" in text


def test_several_runs_begin_with_a_comparison(run_folder: RunFolder) -> None:
    honest = run_folder("one", folds=2, name="first-run")
    leaky = run_folder("two", folds=2, name="second-run", protocol="kfold10", honest=False, seed=1)
    source, text = page_of(honest, leaky)
    assert "2 runs side by side" in text
    assert text.index("Honest and optimistic results") < text.index("run 1 of 2")
    assert 'href="#run-2"' in source
    assert 'id="run-2"' in source
    assert "different manifests" not in text
    assert "first-run" in text


def test_runs_on_other_data_are_not_comparable(run_folder: RunFolder) -> None:
    one, two = run_folder("one", folds=1), run_folder("two", folds=1, manifest_sha256="00")
    three = run_folder("three", folds=1, folds_sha256="00")
    assert "different manifests" in page_of(one, two)[1]
    assert "different folds" in page_of(one, three)[1]


@pytest.mark.parametrize(
    "choices",
    [
        {"folds": 1, "classes": ["a", "b"]},
        {"folds": 1, "each": 1, "skill": 50.0},
        {"folds": 2, "classes": [f"class {i} with a rather long name" for i in range(8)]},
        {"folds": 12, "each": 1, "method": "exhaustive", "protocol": "groups:12"},
        {"folds": 2, "method": "fixed"},
        {"folds": 2, "method": None, "peak_rss_mb": None},
    ],
)
def test_every_kind_of_run_has_a_page(run_folder: RunFolder, choices: dict) -> None:
    source, _ = page_of(run_folder(**choices))
    assert "nan" not in source.lower().replace("nance", "")


def test_no_adjustment_and_no_search_are_said(run_folder: RunFolder) -> None:
    source, text = page_of(run_folder(folds=2, method=None))
    assert "recipe fixes the strategy (no adjustment)" in text
    assert '<table class="weights">' not in source


def test_the_chosen_strategy_is_framed_once_a_fold(run_folder: RunFolder) -> None:
    source, _ = page_of(run_folder(folds=3))
    assert source.count('class="cell chosen"') == 3
    assert source.count('<table class="weights">') == 3


def test_a_log_with_gaps_and_single_epochs_is_drawn(run_folder: RunFolder) -> None:
    folder = run_folder(folds=1)
    lines = [
        {"fold": 0, "stage": "search", "epoch": 0, "train_loss": None, "validation_ua": 0.5},
        {"fold": 0, "stage": "train", "epoch": 0, "train_loss": 2.0, "validation_loss": None},
        {"fold": 0, "stage": "train", "epoch": 1, "train_loss": float("inf")},
    ]
    write_text(folder / "log.jsonl", "\n".join(map(json.dumps, lines)))
    source, _ = page_of(folder)
    assert source.count("<polyline") == 2
    assert "inf" not in re.findall('points="[^"]*"', source)[0]
    write_text(folder / "log.jsonl", "")
    assert "Training curves" not in page_of(folder)[1]


def test_nothing_is_written_for_a_broken_run(run_folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run given"):
        write_report([], tmp_path / "report.html")
    with pytest.raises(RunError, match="no such run folder"):
        write_report([run_folder(folds=1), tmp_path / "none"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_head_in_closed_form_has_no_epochs_and_no_inner_validation(run_folder: RunFolder) -> None:
    folder = run_folder(folds=2, method="exhaustive")
    assert "UA on the inner validation speakers" in page_of(folder)[1]
    assert "Training curves" in page_of(folder)[1]
    write_text(folder / "recipe.toml", '[head]\nkind = "ridge"\n')
    _, text = page_of(folder)
    assert "UA of the training utterances, each speaker left out in turn" in text
    assert "inner validation" not in text
    assert "Training curves" not in text


def test_folds_are_summed_up_beside_the_pooled_score(run_folder: RunFolder) -> None:
    _, text = page_of(run_folder(folds=4))
    assert re.search(r"over folds \d+\.\d ± \d+\.\d", text)
    assert "standard deviation between folds" in text
    _, alone = page_of(run_folder("alone", folds=1))
    assert "over folds" not in alone
    assert "between folds" not in alone


def test_numbers_are_written_for_people() -> None:
    assert (percent(0.68449), percent(None), percent(1.0, 0)) == ("68.4", "–", "100")
    assert [duration(s) for s in (0.25, 48, 200, 7500)] == [
        "0.2 s", "48 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip
    assert [probability(p) for p in (1, 0.0341, 0.0001)] == ["= 1.000", "= 0.034", "< 0.001"]
    assert names(["a", "b", "c", "d"]) == "a, b, c, d"
    assert names(["a", "b", "c", "d", "e"]) == "a, b, c, … (5)"
