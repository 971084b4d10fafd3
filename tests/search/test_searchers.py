"""What every searcher keeps to, whatever its method."""

import json
from dataclasses import replace

import pytest

from mfas.fusion import LEVELS, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search import SEARCHERS
from mfas.train import Features

METHODS = ["darts", "single_path", "perturbation", "random"]


@pytest.mark.parametrize("method", METHODS)
def test_only_training_and_validation_utterances_are_read(method, make_problem, monkeypatch):
    problem = make_problem(settings={"epochs": 1, "samples": 1})
    seen, read = set(), Features.batch

    def recording(self, chosen):
        seen.update(u for u, _ in chosen)
        return read(self, chosen)

    monkeypatch.setattr(Features, "batch", recording)
    SEARCHERS[method](problem)
    assert seen == {*problem.train, *problem.validation}


@pytest.mark.parametrize("method", METHODS)
def test_one_seed_finds_one_strategy(method, make_problem):
    problem = make_problem(settings={"epochs": 1, "samples": 2})
    first, second = (SEARCHERS[method](problem).to_json() | {"seconds": 0} for _ in range(2))
    assert first == second
    assert first["method"] == method
    other = SEARCHERS[method](make_problem(settings={"epochs": 1, "samples": 2}, seed=1))
    assert other.to_json() | {"seconds": 0} != first


def test_a_result_as_json_says_what_its_numbers_stand_for(make_problem):
    found = SEARCHERS["darts"](make_problem(settings={"epochs": 1}))
    written = json.loads(json.dumps(found.to_json()))
    assert Strategy(**written["strategy"]) == found.strategy
    assert written["levels"] == list(LEVELS)
    assert written["operations"] == list(OPERATION_NAMES)
    assert written["weights"] == found.weights
    assert written["scores"] == found.scores
    assert written["seconds"] >= 0


class Interrupted(Exception):  # noqa: N818
    """Stands for a kill."""


@pytest.mark.parametrize("method", ["single_path", "perturbation"])
def test_an_interrupted_supernet_goes_on_to_the_same_result(method, make_problem, tmp_path):
    """One of DARTS is interrupted in `test_darts`."""

    def interrupt(facts):
        raise Interrupted

    whole = SEARCHERS[method](make_problem())
    with pytest.raises(Interrupted):
        SEARCHERS[method](make_problem(folder=tmp_path, log=interrupt))
    lines = []
    resumed = SEARCHERS[method](make_problem(folder=tmp_path, log=lines.append))
    assert [line["epoch"] for line in lines] in ([0, 1], [1])
    assert replace(resumed, seconds=0.0) == replace(whole, seconds=0.0)


@pytest.mark.parametrize("method", ["darts", "single_path"])
def test_a_planted_strategy_is_found(method, planted):
    found = SEARCHERS[method](planted.make())
    assert found.strategy == planted.answer
    others = [ua for path, ua in found.scores.items() if path != str(planted.answer)]
    assert found.scores[str(planted.answer)] > max(others) + 0.2
