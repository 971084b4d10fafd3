"""DARTS moves alpha on validation batches and weights on training batches, and never both at once."""

from dataclasses import replace

import pytest
import torch

from mfas.errors import FailedError
from mfas.fusion import LEVELS, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search import SearchResult
from mfas.search.darts import Mixture, search_darts


def timeless(result: SearchResult) -> SearchResult:
    return replace(result, seconds=0.0)


@pytest.fixture(scope="module")
def whole(make_problem) -> SearchResult:
    """A search of three epochs that nothing interrupted."""
    return search_darts(make_problem(settings={"epochs": 3}))


def test_the_strategy_follows_from_weights_and_scores(whole):
    for row in whole.weights:
        assert sum(row) == pytest.approx(1)
    assert [len(row) for row in whole.weights] == [8, 8, 8]
    assert set(whole.scores) == {f"{level}:{name}" for level in LEVELS for name in OPERATION_NAMES}
    heaviest = {
        level: OPERATION_NAMES[row.index(max(row))]
        for level, row in zip(LEVELS, whole.weights, strict=True)
    }
    assert whole.strategy.operation == heaviest[whole.strategy.level]
    candidates = [whole.scores[str(Strategy(level, name))] for level, name in heaviest.items()]
    assert whole.scores[str(whole.strategy)] == max(candidates)
    assert all(0 <= ua <= 1 for ua in whole.scores.values())


def test_the_trajectory_has_the_weights_of_every_epoch(whole):
    assert len(whole.trajectory) == 3
    assert whole.trajectory[-1] == whole.weights
    assert whole.trajectory[0] != whole.trajectory[1]
    assert whole.trajectory[0] != [[1 / 8] * 8] * 3


def test_weights_of_zero_alpha_stay_uniform_where_sgd_does_not_move_them(make_problem):
    """Neither AdamW nor its weight decay reaches alpha."""
    still = search_darts(make_problem(settings={"epochs": 1, "alpha_lr": 1e-30}))
    assert still.weights == [[1 / 8] * 8] * 3


@pytest.mark.parametrize("accumulate", [1, 2])
def test_each_step_moves_one_kind_on_its_own_utterances(make_problem, monkeypatch, accumulate):
    problem = make_problem(settings={"epochs": 2}, accumulate=accumulate)
    alpha_step, weight_step = Mixture._alpha_step, Mixture._weight_step
    steps = []

    def state(model):
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def moved(model, before):
        return {name for name, t in model.state_dict().items() if not torch.equal(t, before[name])}

    def recording_alpha_step(self, parts, level):
        assert {u for _, _, ids in parts for u, _ in ids} <= set(problem.validation)
        assert len(parts) == accumulate
        for _, targets_B, ids in parts:
            assert targets_B.tolist() == [problem.data.targets_U[u] for u, _ in ids]
        before = state(self.model)
        alpha_step(self, parts, level)
        assert moved(self.model, before) == {"cell.alpha"}
        change = (self.cell.alpha.detach() - before["cell.alpha"]).abs().sum(dim=1)
        assert [LEVELS[row] for row in change.nonzero().flatten()] == [level]
        steps.append(("alpha", level))

    def recording_weight_step(self, parts, level):
        assert {u for _, _, ids in parts for u, _ in ids} <= set(problem.train)
        before = state(self.model)
        loss = weight_step(self, parts, level)
        changed = moved(self.model, before)
        assert "cell.alpha" not in changed
        assert any(name.startswith("head.") for name in changed)
        assert level in {name.split(".")[2] for name in changed if name.startswith("cell.")}
        steps.append(("weights", level))
        return loss

    monkeypatch.setattr(Mixture, "_alpha_step", recording_alpha_step)
    monkeypatch.setattr(Mixture, "_weight_step", recording_weight_step)
    search_darts(problem)
    assert [kind for kind, _ in steps] == ["alpha", "weights"] * (len(steps) // 2)
    assert [level for _, level in steps[::2]] == [level for _, level in steps[1::2]]
    assert len(steps) == 2 * 2 * 2  # 14 segments, 8 a step, 2 epochs
    assert len({level for _, level in steps}) > 1


class Interrupted(Exception):  # noqa: N818
    """Stands for a kill."""


@pytest.mark.parametrize("last", [0, 2])
def test_an_interrupted_search_goes_on_to_the_same_result(make_problem, whole, tmp_path, last):
    def interrupt(facts):
        if facts["epoch"] == last:
            raise Interrupted

    with pytest.raises(Interrupted):
        search_darts(make_problem(settings={"epochs": 3}, folder=tmp_path, log=interrupt))
    epochs = []
    resumed = search_darts(
        make_problem(
            settings={"epochs": 3}, folder=tmp_path, log=lambda facts: epochs.append(facts["epoch"])
        )
    )
    assert epochs == list(range(last, 3))
    assert timeless(resumed) == timeless(whole)
    again = search_darts(make_problem(settings={"epochs": 3}, folder=tmp_path, log=epochs.append))
    assert len(epochs) == 3 - last
    assert timeless(again) == timeless(whole)


def test_a_search_that_diverges_says_so(make_problem):
    with pytest.raises(FailedError, match="training diverged"):
        search_darts(make_problem(settings={"lr": 1e30}))
