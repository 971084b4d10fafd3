"""What a mixture misses most is kept, whatever alpha says."""

import pytest
import torch

from mfas.fusion import LEVELS, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search.darts import Mixture
from mfas.search.perturbation import missed_most, score_removals, search_perturbation
from mfas.train import Scores


def test_the_operation_that_carries_the_class_is_kept_though_alpha_prefers_another(planted):
    mixture = Mixture(planted.make(), "perturbation")
    mixture.train()
    level, attention, other = 1, 2, OPERATION_NAMES.index("sum")
    with torch.no_grad():
        mixture.cell.alpha[level, other] = mixture.cell.alpha[level].max() + 0.1
    assert mixture.cell.heaviest()[level] == Strategy("middle", "sum")
    without = score_removals(mixture)
    assert missed_most("middle", without) == planted.answer
    assert OPERATION_NAMES[attention] == planted.answer.operation
    rest = [found.ua for removed, found in without.items() if removed.level == "middle"]
    assert without[planted.answer].ua == min(rest) < max(rest) - 0.2


def test_equal_uas_are_told_apart_by_loss_and_the_first_of_equals_is_kept():
    even = {Strategy("last", name): Scores(0.5, 0.5, 1.0) for name in OPERATION_NAMES}
    assert missed_most("last", even) == Strategy("last", "zero")
    worse = even | {Strategy("last", "ism"): Scores(0.5, 0.5, 1.1)}
    assert missed_most("last", worse) == Strategy("last", "ism")


def test_removing_zero_changes_nothing_and_removals_are_recorded(make_problem):
    problem = make_problem(settings={"epochs": 1})
    found = search_perturbation(problem)
    assert set(found.without) == {f"{level}:{name}" for level in LEVELS for name in OPERATION_NAMES}
    assert found.to_json()["without"] == found.without
    mixture = Mixture(problem, "perturbation")
    mixture.train()
    for level in LEVELS:
        assert found.without[f"{level}:zero"] == mixture.score(level).ua
    assert found.weights == pytest.approx(mixture.cell.weights().numpy())
    kept = {missed_most(level, score_removals(mixture)) for level in LEVELS}
    assert found.strategy in kept
    assert found.scores[str(found.strategy)] == max(found.scores[str(path)] for path in kept)
