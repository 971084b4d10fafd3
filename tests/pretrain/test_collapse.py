"""The effective rank against its definition by eigenvalues."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mfas.pretrain.collapse import effective_rank


def by_eigenvalues(features_ND: np.ndarray) -> float:
    eigenvalues = np.linalg.eigvalsh(np.cov(features_ND.astype(np.float64).T, bias=True))
    return float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


@given(
    frames=st.integers(3, 40),
    width=st.integers(2, 12),
    scale=st.sampled_from([1e-6, 1e-3, 1.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_it_is_the_participation_ratio_whatever_the_scale(frames, width, scale, seed):
    random = np.random.default_rng(seed)
    features_ND = scale * random.normal(size=(frames, width)) * random.uniform(0.1, 2, width)
    features_ND = features_ND.astype(np.float32)
    found = effective_rank(torch.from_numpy(features_ND)).item()
    assert found == pytest.approx(by_eigenvalues(features_ND), rel=1e-3)
    assert 1 <= found * 1.0001 <= min(frames - 1, width) * 1.001


def test_it_counts_directions():
    random = np.random.default_rng(0)
    white_ND = torch.from_numpy(random.normal(size=(4000, 8))).float()
    assert effective_rank(white_ND) == pytest.approx(8, rel=0.02)
    assert effective_rank(white_ND[:, :3] @ torch.eye(3, 8)) == pytest.approx(3, rel=0.02)
    line_ND = torch.from_numpy(random.normal(size=(50, 1))).float() @ torch.ones(1, 8)
    assert effective_rank(line_ND + 5) == pytest.approx(1, rel=1e-3)


def test_it_is_none_if_all_are_the_same():
    assert effective_rank(torch.zeros(20, 8)) == 0
    assert effective_rank(torch.full((20, 8), 0.5)) == 0


def test_it_is_exact_in_mixed_precision_and_takes_no_gradient():
    features_ND = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = effective_rank(features_ND.clone().requires_grad_())
    assert found.dtype == torch.float32
    assert found == effective_rank(features_ND)
    assert not found.requires_grad
