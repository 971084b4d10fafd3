"""Derived numbers agree with their definitions, and sentences with the numbers."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from sklearn.metrics import precision_recall_fscore_support, recall_score

from mfas.report import read_run, summary_table
from mfas.report.curves import curves, loss_ceiling
from mfas.report.run import Run, Strategy
from mfas.report.scores import (
    candidates,
    class_scores,
    confident_mistakes,
    fold_spreads,
    noise_sd,
    row_shares,
    speaker_scores,
)
from mfas.report.wording import agreement, choice_words, interval_words, selection_words, stamp

RunFolder = Callable[..., Path]
RIDGE = '[head]\nkind = "ridge"\n'


@pytest.fixture
def run(run_folder: RunFolder) -> Run:
    return read_run(run_folder(folds=4))


def test_class_scores_are_those_of_sklearn(run: Run) -> None:
    true = [row.label for row in run.predictions]
    predicted = [row.predicted for row in run.predictions]
    expected = precision_recall_fscore_support(true, predicted, labels=run.result.classes)
    for i, row in enumerate(class_scores(run)):
        assert (row.precision, row.recall, row.f1, row.n) == pytest.approx([v[i] for v in expected])


def test_speaker_scores_are_mean_recalls(run: Run) -> None:
    scores = speaker_scores(run)
    assert [score.ua for score in scores] == sorted(score.ua for score in scores)
    for score in scores:
        rows = [row for row in run.predictions if row.speaker == score.speaker]
        true, predicted = [r.label for r in rows], [r.predicted for r in rows]
        assert score.ua == pytest.approx(recall_score(true, predicted, average="macro"))
        assert score.n == len(rows)


def test_an_absent_class_has_no_scores(run: Run) -> None:
    confusion = ((0,) * 7, *((0, 1, 0, 0, 0, 0, 0),) * 6)
    changed = replace(run, result=replace(run.result, confusion=confusion))
    first = class_scores(changed)[0]
    assert (first.n, first.recall, first.precision, first.f1) == (0, None, None, None)
    assert row_shares(confusion)[0].tolist() == [0] * 7


def test_mistakes_are_wrong_and_confident(run: Run) -> None:
    mistakes = confident_mistakes(run)
    assert len(mistakes) == 10
    assert all(row.label != row.predicted for row in mistakes)
    assert [row.probability for row in mistakes] == sorted(
        (row.probability for row in mistakes), reverse=True
    )


def test_candidates_are_ranked_by_mean(run: Run) -> None:
    rows = candidates(run)
    assert len(rows) == 24
    assert [row.mean for row in rows] == sorted((row.mean for row in rows), reverse=True)
    assert sum(row.chosen for row in rows) == 4
    assert all(len(row.scores) == 4 for row in rows)


def test_noise_comes_from_equal_functions(run: Run) -> None:
    scores = {"first:concat_fc": 0.5, "first:concat_fc_r": 0.6, "last:ism": 0.9}
    search = replace(run.searches[0], scores=scores)
    assert noise_sd([search]) == pytest.approx(0.1 / 2**0.5)
    assert noise_sd([replace(search, scores={"last:ism": 0.9})]) is None


@pytest.mark.parametrize(
    ("operations", "sentence"),
    [
        ("ism ism ism ism", "All 4 searches chose last:ism."),
        ("ism ism ism sum", "agree mostly: 3 of 4 chose last:ism; the others last:sum\u00a0(1)."),
        ("ism sum zero ism_r", "do not agree: 1 of 4"),
    ],
)
def test_agreement_counts_votes(run: Run, operations: str, sentence: str) -> None:
    searches = tuple(
        replace(search, strategy=Strategy("last", operation))
        for search, operation in zip(run.searches, operations.split(), strict=True)
    )
    assert sentence in agreement(replace(run, searches=searches))


def test_a_speaker_in_two_folds_is_a_leak(run: Run) -> None:
    assert stamp(run).honest
    first, second, *_ = run.result.folds
    shared = (first, replace(second, test_speakers=first.test_speakers))
    assert not stamp(replace(run, result=replace(run.result, folds=shared))).honest
    repeated = replace(run.result, folds=(first, first), seeds=(0, 1))
    assert stamp(replace(run, result=repeated)).honest


def test_few_speakers_make_rough_intervals(run: Run) -> None:
    assert "rough" not in interval_words(run)
    few = replace(run, result=replace(run.result, folds=run.result.folds[:2]))
    assert "With 4 speakers they are rough" in interval_words(few)


def test_curves_keep_the_later_of_two_equal_epochs(run: Run) -> None:
    again = replace(run.epochs[0], train_loss=9.0)
    panels = curves(replace(run, epochs=(*run.epochs, again)))
    assert [panel.title for panel in panels] == ["Fold 0", "Fold 1", "Fold 2", "Fold 3"]
    assert (panels[0].length, panels[0].search_length) == (24, 8)
    assert panels[0].losses[0].points[0] == (0.0, 9.0)
    assert loss_ceiling(panels) == 10.0


def test_curves_of_several_seeds_are_apart(run: Run) -> None:
    other = tuple(replace(epoch, seed=1) for epoch in run.epochs)
    panels = curves(replace(run, epochs=run.epochs + other))
    assert len(panels) == 8
    assert panels[1].title == "Fold 0, seed 1"


def test_summary_table_shows_scores_and_stamp(run_folder: RunFolder) -> None:
    run = read_run(
        run_folder(folds=2, name="[red]x", protocol="kfold10", ua=0.5, ua_ci95=[0.4, 0.61])
    )
    console = Console(width=100)
    with console.capture() as shown:
        console.print(summary_table(run))
    text = shown.get()
    for words in ("[red]x", "50.0", "40.0–61.0", "OPTIMISTIC: the same speakers", "03, 04"):
        assert words in text


def test_spread_over_folds_counts_each_fold_once(run: Run) -> None:
    folds = [replace(run.result.folds[0], ua=ua, wa=0.5, n=n) for ua, n in ((0.4, 1), (0.8, 99))]
    whole = replace(run, result=replace(run.result, folds=tuple(folds)))
    spreads = fold_spreads(whole)
    assert spreads["ua"].mean == pytest.approx(0.6)
    assert spreads["ua"].deviation == pytest.approx(0.2 * 2**0.5)
    assert (spreads["wa"].mean, spreads["wa"].deviation) == (0.5, 0)
    single = replace(run, result=replace(run.result, folds=tuple(folds[:1])))
    assert fold_spreads(single)["ua"].deviation is None


@pytest.mark.parametrize(
    ("recipe", "protocol", "where"),
    [
        ("", "lospo", "on the inner validation speakers"),
        ("", "loso", "on the inner validation sessions"),
        ("", "kfold10", "on the inner validation part"),
        (RIDGE, "lospo", "of the training utterances, each speaker left out in turn"),
        (RIDGE, "loso", "of the training utterances, each session left out in turn"),
        (RIDGE, "kfold10", "of the training utterances, each speaker left out in turn"),
    ],
)
def test_scores_that_choose_are_named_by_how_they_came_about(
    run: Run, recipe: str, protocol: str, where: str
) -> None:
    told = replace(run, recipe=recipe, result=replace(run.result, protocol=protocol))
    assert choice_words(told).where == where
    material = "utterances" if protocol == "kfold10" else "speakers"
    assert f"made on training {material} alone" in selection_words(told)
    assert ("left out" in choice_words(told).score) == bool(recipe)
    assert ("penalty" in selection_words(told)) == bool(recipe)
