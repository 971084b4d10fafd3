"""Single paths are trained equally often: every operation of a level in every step, every level in turn."""

from collections import Counter

import pytest
import torch

from mfas.fusion import LEVELS, FusionCell, distinct_candidates
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search.single_path import Paths, search_single_path


@pytest.fixture
def trained_paths(monkeypatch) -> list[tuple[str, str]]:
    """Notes the path of every forward pass in training."""
    noted: list[tuple[str, str]] = []
    forward = FusionCell.forward

    def recording(self, tec, sec, level, mask=None, operation=None, **rest):
        if self.training:
            noted.append((level, operation))
        return forward(self, tec, sec, level, mask, operation, **rest)

    monkeypatch.setattr(FusionCell, "forward", recording)
    return noted


def test_counts_are_strictly_fair(make_problem, trained_paths):
    """14 segments, 8 a step: 6 steps in 3 epochs, so two turns of the three levels."""
    Paths(make_problem(settings={"epochs": 3}), "single_path").train()
    steps = [trained_paths[start : start + 8] for start in range(0, len(trained_paths), 8)]
    assert len(steps) == 6
    for step in steps:
        assert len({level for level, _ in step}) == 1
        assert sorted(operation for _, operation in step) == sorted(OPERATION_NAMES)
    for turn in (steps[:3], steps[3:]):
        assert {step[0][0] for step in turn} == set(LEVELS)
    assert set(Counter(trained_paths).values()) == {2}


def test_the_order_of_levels_follows_from_the_seed(make_problem):
    orders = {
        seed: [Paths(make_problem(seed=seed), "single_path")._level(step) for step in range(30)]
        for seed in (0, 1)
    }
    assert orders[0] != orders[1]
    assert orders[0] == [Paths(make_problem(), "single_path")._level(step) for step in range(30)]


def test_there_is_no_alpha_and_the_best_distinct_path_wins(make_problem):
    problem = make_problem(settings={"epochs": 1})
    paths = Paths(problem, "single_path")
    paths.train()
    assert torch.equal(paths.cell.alpha, torch.zeros(3, 8))
    found = search_single_path(problem)
    assert found.weights is None
    assert len(found.scores) == 24
    assert found.strategy in distinct_candidates()
    assert found.scores[str(found.strategy)] == max(
        found.scores[str(c)] for c in distinct_candidates()
    )


def test_a_step_follows_the_mean_loss_of_its_paths(make_problem):
    """The gradient of one step is the mean of the paths' own gradients."""
    paths = Paths(make_problem(), "single_path")
    (parts, *_) = paths.steps(0)
    paths.model.eval()  # no dropout: the paths' losses can be compared

    def loss(operation):
        batch, targets_B, _ = parts[0]
        return paths.loss(paths.model(batch, "last", operation), targets_B)

    with torch.no_grad():
        expected = sum(float(loss(name)) for name in OPERATION_NAMES) / 8
    from mfas.train import train_step

    total = train_step(
        paths.model, parts, paths.optimizer, paths.loss, paths.accelerator, "last", OPERATION_NAMES
    )
    assert total == pytest.approx(expected, rel=1e-5)
