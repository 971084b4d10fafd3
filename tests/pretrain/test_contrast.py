"""The contrast against closed forms, and which negatives are drawn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mfas.pretrain.contrast import Candidates, contrast, found, times_drawn


def test_guessing_nothing_pays_two_log_two() -> None:
    """However many negatives there are, and whichever of them count."""
    times_BMC = torch.tensor([[[1.0, 0.0, 5.0], [0.0, 1.0, 0.0]]])
    nothing = Candidates(torch.zeros(1, 2), torch.zeros(1, 2, 3), times_BMC)
    assert torch.allclose(contrast(nothing, "bce"), torch.tensor(2 * np.log(2)).float())
    assert torch.allclose(contrast(nothing, "infonce"), torch.tensor([[7.0, 2.0]]).log())


@given(st.data())
def test_negatives_are_other_masked_frames(data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    counts_BM = (torch.arange(6) < torch.tensor(counts)[:, None]).float()
    largest = 1 - 2**-24
    draws = st.one_of(st.sampled_from([0.0, largest]), st.floats(0, largest, width=32))
    size = len(counts) * 6 * 5
    drawn = data.draw(st.lists(draws, min_size=size, max_size=size))
    times_BMM = times_drawn(torch.tensor(drawn).view(len(counts), 6, 5), counts_BM)
    assert (times_BMM.diagonal(dim1=1, dim2=2)[counts_BM > 0] == 0).all()
    for times_MM, count in zip(times_BMM, counts, strict=True):
        assert (times_MM[:count, count:] == 0).all()
        assert (times_MM[:count].sum(1) == (5 if count > 1 else 0)).all()


@pytest.mark.parametrize("frames", [2, 64, 65, 98, 129, 750])
def test_the_largest_draw_picks_the_last_of_the_others(frames: int) -> None:
    """No product with a number below 1 is rounded up to a frame that is not there."""
    largest_BMS = torch.full((1, frames, 1), 1 - 2**-24)
    times_MM = times_drawn(largest_BMS, torch.ones(1, frames))[0]
    assert (times_MM[:-1, -1] == 1).all()
    assert times_MM[-1, -2] == 1


def test_all_other_frames_are_drawn_equally_often() -> None:
    uniform_BMS = torch.rand(1, 5, 20_000, generator=torch.Generator().manual_seed(0))
    times_MM = times_drawn(uniform_BMS, torch.tensor([[1.0, 1, 1, 1, 0]]))[0, :4, :4] / 20_000
    assert torch.allclose(times_MM, (1 - torch.eye(4)) / 3, atol=0.02)


def test_found_needs_negatives_and_the_highest_similarity() -> None:
    others_BMC = torch.tensor([[[5.0, 1.0], [0.0, 3.0], [0.0, 0.0]]])
    times_BMC = torch.tensor([[[0.0, 2.0], [1.0, 1.0], [0.0, 0.0]]])
    candidates = Candidates(torch.full((1, 3), 2.0), others_BMC, times_BMC)
    assert found(candidates).tolist() == [[True, False, False]]
