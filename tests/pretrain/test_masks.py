"""Spans of time: how many frames they mask, where, and how that compares with transformers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

from mfas.config import MaskSection
from mfas.pretrain.masks import masked_frames, span_masks

PLACEMENTS = st.sampled_from(["disjoint", "overlapping"])
SHARES = st.floats(0.01, 0.99)


def masks_of(rows: int, frames: int, seed: int = 0, **settings: object) -> Tensor:
    section = MaskSection.model_validate(settings)
    return span_masks(rows, frames, section, torch.Generator().manual_seed(seed))


def runs_of(row_T: Tensor) -> list[int]:
    """Lengths of the stretches of masked frames."""
    edges = np.diff(np.pad(row_T.numpy().astype(int), 1))
    return (np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)).tolist()


@given(frames=st.integers(2, 400), span=st.integers(1, 20), share=SHARES, seed=st.integers(0, 99))
def test_disjoint_spans_mask_exactly_what_they_should(frames, span, share, seed):
    settings = {"share": share, "span": span}
    mask_BT = masks_of(5, frames, seed, **settings)
    count = masked_frames(frames, MaskSection(**settings))
    assert mask_BT.shape == (5, frames)
    assert mask_BT.dtype == torch.bool
    assert mask_BT.sum(1).tolist() == [count] * 5
    span = min(span, frames - 1)
    for row_T in mask_BT:
        assert all(length % span == 0 for length in runs_of(row_T))  # whole spans; they may touch
    most = frames - 1  # at least one stays
    assert count == min(max(span, span * round(share * frames / span)), span * (most // span))


@given(frames=st.integers(2, 300), span=st.integers(1, 20), share=SHARES, placement=PLACEMENTS)
def test_some_frames_are_masked_and_some_are_not(frames, span, share, placement):
    settings = {"share": share, "span": span, "placement": placement}
    masked_B = masks_of(20, frames, **settings).sum(1)
    assert masked_B.min() >= 1
    assert masked_B.max() <= masked_frames(frames, MaskSection(**settings)) <= frames - 1


@pytest.mark.parametrize("placement", ["disjoint", "overlapping"])
def test_the_only_frame_of_a_row_stays(placement):
    assert masks_of(3, 1, placement=placement).tolist() == [[False]] * 3
    assert masked_frames(1, MaskSection(placement=placement)) == 0


def test_the_share_is_met_to_the_nearest_span():
    for share in (0.3, 0.5, 0.65):
        assert masks_of(4, 149, share=share).float().mean() == pytest.approx(share, abs=5 / 149)


@pytest.mark.parametrize("placement", ["disjoint", "overlapping"])
@pytest.mark.parametrize(("frames", "span"), [(149, 10), (24, 10), (11, 10), (5, 10), (7, 1)])
def test_every_frame_can_be_masked_and_can_stay(placement, frames, span):
    settings = {"share": 0.5, "span": span, "placement": placement}
    often_T = masks_of(4000, frames, **settings).float().mean(0)
    assert often_T.min() > 0.02
    assert often_T.max() < 0.98 or frames < 2 * span  # a short row has a middle that always is
    if frames > 100:  # in the middle of long rows, all frames are as likely
        assert often_T[20:-20].std() < 0.03
        assert often_T[20:-20].mean() == pytest.approx(often_T.mean().item(), abs=0.06)


def test_rows_differ_and_follow_from_the_generator():
    first, again, other = masks_of(50, 149), masks_of(50, 149), masks_of(50, 149, seed=1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({tuple(row) for row in first.tolist()}) == 50


def test_a_generator_never_gives_the_same_masks_twice():
    generator = torch.Generator().manual_seed(0)
    first = span_masks(4, 80, MaskSection(), generator)
    assert not torch.equal(first, span_masks(4, 80, MaskSection(), generator))


@pytest.mark.parametrize(("share", "span"), [(0.65, 10), (0.335, 10), (0.66, 5)])
def test_overlapping_spans_are_those_of_wav2vec(share, span):
    """Shares of nearly whole numbers of spans: theirs rounds at random, once for all rows."""
    frames, rows = 149, 2000
    settings = {"share": share, "span": span, "placement": "overlapping"}
    ours_BT = masks_of(rows, frames, **settings)
    np.random.seed(0)  # they draw from nothing else
    theirs_BT = torch.from_numpy(_compute_mask_indices((rows, frames), share, span))
    for mask_BT in (ours_BT, theirs_BT):
        assert all(length >= span for length in runs_of(mask_BT[0]))
    ours_B, theirs_B = ours_BT.float().mean(1), theirs_BT.float().mean(1)
    assert ours_B.mean() == pytest.approx(theirs_B.mean().item(), abs=0.02)
    assert ours_B.std() == pytest.approx(theirs_B.std().item(), abs=0.015)
    ours_T, theirs_T = ours_BT.float().mean(0), theirs_BT.float().mean(0)
    torch.testing.assert_close(ours_T, theirs_T, atol=0.08, rtol=0)


def test_asking_for_65_percent_of_overlapping_spans_masks_half():
    realised = masks_of(2000, 149, placement="overlapping").float().mean()
    assert realised == pytest.approx(0.49, abs=0.02)
    assert masked_frames(149, MaskSection(placement="overlapping")) == 100  # the most, not the mean
