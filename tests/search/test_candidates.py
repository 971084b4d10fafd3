"""Random and exhaustive search train candidates from scratch, each once, and take the best."""

import json
import sys

import pytest

from mfas.fusion import LEVELS, Strategy, distinct_candidates
from mfas.search import candidates
from mfas.search.candidates import search_exhaustive, search_random
from mfas.train import FitResult, Scores

LIMIT = Strategy("middle", "ism")


@pytest.fixture
def fitted(monkeypatch):
    """Stands in for training: `LIMIT` scores best, by its loss; notes which models were trained."""
    trained = []

    def fit(model, data, train, validation, settings, seed, log, checkpoint, conditions):
        trained.append((model, seed, settings.epochs))
        log({"epoch": 0})
        return FitResult(0, Scores(0.5, 0.5, 0.1 if model == LIMIT else 0.2), ())

    monkeypatch.setattr(candidates, "fit", fit)
    return trained


@pytest.fixture
def problem(make_problem):
    def make(**changes):
        return make_problem(make_model=lambda strategy, seed: strategy, **changes)

    return make


def test_exhaustive_tries_each_distinct_candidate_and_takes_the_best(problem, fitted):
    found = search_exhaustive(problem())
    assert [strategy for strategy, _, _ in fitted] == list(distinct_candidates())
    assert len(found.scores) == 19
    assert found.strategy == LIMIT
    assert found.weights is None
    assert {epochs for _, _, epochs in fitted} == {2}
    assert len({seed for _, seed, _ in fitted}) == 19


def test_random_draws_distinct_candidates_by_its_seed(problem, fitted):
    drawn = [list(search_random(problem(seed=seed)).scores) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(len(set(names)) == 4 for names in drawn)
    known = {str(candidate) for candidate in distinct_candidates()}
    assert {name for names in drawn for name in names} <= known


def test_random_with_many_samples_is_exhaustive(problem, fitted):
    found = search_random(problem(settings={"samples": 100}))
    assert sorted(found.scores) == sorted(search_exhaustive(problem()).scores)
    assert found.strategy == LIMIT


def test_twins_are_scored_but_never_chosen(problem, fitted, monkeypatch):
    found = search_exhaustive(problem(settings={"twins": True}))
    assert [str(strategy) for strategy, _, _ in fitted[19:]] == [
        f"{level}:concat_fc_r" for level in LEVELS
    ]
    assert len(found.scores) == 22
    assert found.strategy == LIMIT
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", Strategy("last", "concat_fc_r"))
    assert search_exhaustive(problem(settings={"twins": True})).strategy in distinct_candidates()


def test_a_candidate_that_was_finished_is_not_trained_again(problem, fitted, tmp_path):
    def interrupt(facts):
        if len(fitted) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_exhaustive(problem(folder=tmp_path, log=interrupt))
    resumed = search_exhaustive(problem(folder=tmp_path))
    assert [strategy for strategy, _, _ in fitted[3:]] == list(distinct_candidates()[2:])
    assert resumed.scores == search_exhaustive(problem()).scores
    assert resumed.strategy == LIMIT


def test_the_log_says_which_candidate_an_epoch_belongs_to(problem, fitted):
    lines = []
    search_random(problem(log=lines.append, settings={"samples": 2}))
    assert len({line["candidate"] for line in lines}) == 2
    json.dumps(lines)


def test_a_real_candidate_is_scored_on_validation_utterances(make_problem):
    """The score is that of the model trained with this strategy alone."""
    lines = []
    settings = {"samples": 1, "epochs": 2}
    found = search_random(make_problem(settings=settings, log=lines.append))
    assert found.scores == {str(found.strategy): max(line["validation_ua"] for line in lines)}
