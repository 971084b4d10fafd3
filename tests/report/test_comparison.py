"""Runs side by side: names that tell them apart, who may be compared, what each fold chose."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mfas.report import Pair, incomparable, read_run, run_labels, write_report
from mfas.report.comparison import chosen
from mfas.storage import read_csv, write_csv

RunFolder = Callable[..., Path]


def text_of(target: Path) -> str:
    """The page's text without tags, with single spaces."""
    return " ".join(re.sub("<[^>]+>", " ", target.read_text(encoding="utf-8")).split())


def test_runs_are_named_as_shortly_as_tells_them_apart(run_folder: RunFolder) -> None:
    places = {"plain/one": "a", "adapted/one": "a", "two": "a", "three": "b"}
    runs = [read_run(run_folder(place, folds=1, name=name)) for place, name in places.items()]
    assert run_labels(runs[2:]) == ("a", "b")
    assert run_labels(runs[1:]) == ("a (one)", "a (two)", "b")
    assert run_labels(runs)[:2] == ("a (plain/one)", "a (adapted/one)")
    assert run_labels([runs[2], runs[2]]) == ("a (run 1)", "a (run 2)")


def test_only_runs_on_the_same_utterances_and_alike_in_honesty_are_compared(
    run_folder: RunFolder,
) -> None:
    one, other_data, optimistic = (
        read_run(run_folder(name, folds=2, **result))
        for name, result in {
            "one": {},
            "two": {"manifest_sha256": "00"},
            "three": {"protocol": "kfold10"},
        }.items()
    )
    assert incomparable(one, read_run(run_folder("again", folds=2, seed=1))) is None
    assert "the same utterances" in str(incomparable(one, other_data))
    assert "one is honest, the other optimistic" in str(incomparable(one, optimistic))
    folder = run_folder("renamed", folds=2)
    rows = read_csv(folder / "predictions.csv")
    write_csv(folder / "predictions.csv", list(rows[0]), [*rows[1:], rows[0] | {"file": "x.wav"}])
    assert "the same utterances" in str(incomparable(one, read_run(folder)))


def test_what_the_folds_chose_is_counted(run_folder: RunFolder) -> None:
    run = read_run(run_folder(folds=6))
    found = chosen(run)
    expected = Counter(str(fold.strategy) for fold in run.result.folds)
    counted = {
        f"{level}:{operation}": count
        for level, row in zip(found.levels, found.counts, strict=True)
        for operation, count in zip(found.operations, row, strict=True)
        if count
    }
    assert (counted, found.unadjusted, len(found.folds)) == (expected, 0, 6)
    none = chosen(read_run(run_folder("none", folds=2, method=None)))
    assert (none.unadjusted, list(none.folds.values())) == (2, ["no adjustment"] * 2)


def test_the_page_holds_answers_matrices_and_strategies(
    run_folder: RunFolder, tmp_path: Path
) -> None:
    folders = [
        run_folder("a", folds=3, name="first<b>"),
        run_folder("b", folds=3, name="second", seed=1),
        run_folder("c", folds=2, name="third", manifest_sha256="00", method=None),
    ]
    pair = Pair(0, 1, "first<b> is better than second by 4.0 points of UA", 0.0004, 9, 2)
    write_report(folders, tmp_path / "page.html", [pair])
    source, text = (tmp_path / "page.html").read_text(encoding="utf-8"), text_of(
        tmp_path / "page.html"
    )  # fmt: skip
    assert "first<b>" not in source
    assert "first&lt;b&gt; is better than second by 4.0 points of UA." in text
    assert "p &lt; 0.001: 9 utterances only" in text
    assert text.count("not compared: they were not scored on the same utterances") == 2
    assert text.count("no paired test was made") == 0
    assert source.count('<table class="confusion small">') == 3
    assert source.count('<table class="weights counts">') == 3
    assert source.count("<h2>Which is better?</h2>") == 1
    assert "of twenty such intervals" in text


def test_an_answer_that_nobody_gave_is_not_made_up(run_folder: RunFolder, tmp_path: Path) -> None:
    folders = [run_folder("a", folds=2, name="one"), run_folder("b", folds=2, name="two")]
    write_report(folders, tmp_path / "page.html")
    text = text_of(tmp_path / "page.html")
    assert "one and two: no paired test was made." in text
    assert "of twenty such intervals" not in text
