"""The size of an operation's output is that of its path alone, over real frames."""

import pytest
import torch

from mfas.fusion import LEVELS
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search.darts import Mixture, search_darts
from mfas.search.norms import operation_norms


def test_norms_are_the_root_mean_squares_of_the_paths(make_problem):
    problem = make_problem()
    model = Mixture(problem, "darts").model
    model.train()
    found = operation_norms(model, problem.data, problem.validation, 32, seed=3)
    assert model.training
    model.eval()
    (batch, _, _) = next(problem.data.batches(problem.validation, 32, 3))
    for i, level in enumerate(LEVELS):
        for j, name in enumerate(OPERATION_NAMES):
            with torch.no_grad():
                (frames_BTD,), (mask_BT,) = model.streams(batch, level, name, only="tec")
            real_ND = frames_BTD[mask_BT]
            by_hand = real_ND.square().mean(dim=1).sqrt().mean()
            assert found[i][j] == pytest.approx(float(by_hand), rel=1e-4, abs=1e-7)
    assert all(row[0] == 0 for row in found)


def test_a_search_records_norms_after_every_epoch(make_problem):
    found = search_darts(make_problem())
    assert len(found.norms) == len(found.trajectory) == 2
    assert found.norms[0] != found.norms[1]
    assert found.to_json()["norms"] == list(found.norms)
