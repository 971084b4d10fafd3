"""Seven statistics of a window's real frames, each against numpy, whatever lies behind the end."""

import numpy as np
import pytest
import torch
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from mfas.heads.pooling import QUANTILES, STATISTICS, pool_frames

FRAMES, DIM = 24, 3


def by_hand(real_TD: np.ndarray) -> np.ndarray:
    """What `pool_frames` should give for one window that is all real, (7 D,)."""
    count = len(real_TD)
    ordered_TD = np.sort(real_TD, axis=0)
    third = max(1, count // 3)
    parts = {
        "mean": real_TD.mean(axis=0),
        "deviation": np.sqrt(real_TD.var(axis=0) + 1e-12),
        "low": ordered_TD[round(0.1 * (count - 1))],
        "median": ordered_TD[round(0.5 * (count - 1))],
        "high": ordered_TD[round(0.9 * (count - 1))],
        "step": np.abs(np.diff(real_TD, axis=0)).mean(axis=0) if count > 1 else np.zeros(DIM),
        "drift": real_TD[-third:].mean(axis=0) - real_TD[:third].mean(axis=0),
    }
    return np.concatenate([parts[name] for name in STATISTICS])


def windows_of(counts: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (W, T, D) that differ in scale and place, and masks of `counts` real ones."""
    generator = torch.Generator().manual_seed(seed)
    frames_WTD = torch.randn(len(counts), FRAMES, DIM, generator=generator)
    scale_D = torch.tensor([0.1, 1.0, 30.0])
    return frames_WTD * scale_D + scale_D.flip(0), torch.arange(FRAMES) < torch.tensor(counts)[
        :, None
    ]


@settings(max_examples=50)
@draw(counts=st.lists(st.integers(1, FRAMES), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_every_statistic_is_the_one_written_out(counts, seed):
    frames_WTD, mask_WT = windows_of(counts, seed)
    pooled_WF = pool_frames(frames_WTD, mask_WT)
    assert pooled_WF.shape == (len(counts), len(STATISTICS) * DIM)
    for frames_TD, count, pooled_F in zip(frames_WTD, counts, pooled_WF, strict=True):
        expected_F = by_hand(frames_TD[:count].double().numpy())
        np.testing.assert_allclose(pooled_F, expected_F, rtol=2e-5, atol=1e-4)


def test_quantiles_are_values_that_occur():
    frames_WTD, mask_WT = windows_of([24, 11, 2])
    shares = pool_frames(frames_WTD, mask_WT).unflatten(1, (len(STATISTICS), DIM))[:, 2:5]
    for row, count in enumerate((24, 11, 2)):
        for statistic in range(len(QUANTILES)):
            for d in range(DIM):
                assert shares[row, statistic, d] in frames_WTD[row, :count, d]


@pytest.mark.parametrize("garbage", [0.0, 1e30, -torch.inf, torch.inf, torch.nan])
def test_what_lies_behind_the_end_is_never_seen(garbage):
    frames_WTD, mask_WT = windows_of([24, 13, 2, 1])
    dirty_WTD = frames_WTD.masked_fill(~mask_WT[..., None], garbage)
    assert torch.equal(pool_frames(dirty_WTD, mask_WT), pool_frames(frames_WTD, mask_WT))


@pytest.mark.parametrize("more", [1, 100])
def test_more_padding_changes_nothing(more):
    frames_WTD, mask_WT = windows_of([24, 13, 2, 1])
    longer_WTD = torch.nn.functional.pad(frames_WTD, (0, 0, 0, more), value=7.0)
    longer_WT = torch.nn.functional.pad(mask_WT, (0, more))
    expected_WF = pool_frames(frames_WTD, mask_WT)
    torch.testing.assert_close(pool_frames(longer_WTD, longer_WT), expected_WF, rtol=0, atol=1e-5)


def test_one_frame_is_itself_and_does_not_move():
    frames_WTD, mask_WT = windows_of([1])
    pooled = dict(zip(STATISTICS, pool_frames(frames_WTD, mask_WT)[0].split(DIM), strict=True))
    frame_D = frames_WTD[0, 0]
    for name in ("mean", "low", "median", "high"):
        assert torch.equal(pooled[name], frame_D), name
    for name in ("deviation", "step", "drift"):
        torch.testing.assert_close(pooled[name], torch.zeros(DIM), rtol=0, atol=1e-5)


def test_two_frames_step_and_drift_once():
    frames_WTD, mask_WT = windows_of([2])
    pooled = dict(zip(STATISTICS, pool_frames(frames_WTD, mask_WT)[0].split(DIM), strict=True))
    first_D, second_D = frames_WTD[0, :2]
    torch.testing.assert_close(pooled["drift"], second_D - first_D)
    torch.testing.assert_close(pooled["step"], (second_D - first_D).abs())
    torch.testing.assert_close(pooled["deviation"], (second_D - first_D).abs() / 2)
    assert torch.equal(pooled["low"], torch.minimum(first_D, second_D))
    assert torch.equal(pooled["high"], torch.maximum(first_D, second_D))


def test_the_order_of_frames_moves_step_and_drift_alone():
    """What is the paper's order-free pooling, and what is not."""
    frames_WTD, mask_WT = windows_of([24])
    given, turned = (
        pool_frames(frames, mask_WT)[0].split(DIM) for frames in (frames_WTD, frames_WTD.flip(1))
    )
    for name, one_D, other_D in zip(STATISTICS, given, turned, strict=True):
        expected_D = -one_D if name == "drift" else one_D
        torch.testing.assert_close(other_D, expected_D, rtol=1e-4, atol=1e-4)
    shuffled = pool_frames(frames_WTD[:, torch.randperm(24)], mask_WT)[0].split(DIM)
    for name, one_D, other_D in zip(STATISTICS, given, shuffled, strict=True):
        same = torch.allclose(one_D, other_D, rtol=1e-3, atol=1e-3)
        assert same == (name not in ("step", "drift")), name


def test_gradients_are_finite_even_where_nothing_varies():
    frames_WTD, mask_WT = windows_of([24, 1, 5])
    frames_WTD[2] = 1.0
    frames_WTD.requires_grad_()
    pool_frames(frames_WTD, mask_WT).sum().backward()
    assert torch.isfinite(frames_WTD.grad).all()
    assert not frames_WTD.grad[~mask_WT].any()
    assert frames_WTD.grad[mask_WT].any()
