"""Kernel ridge against numpy; solutions and voices are saved with the weights."""

import numpy as np
import pytest
import torch
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from mfas.heads import KernelRidge, RidgeHead, Voice, gaussian_kernel
from mfas.heads.pooling import STATISTICS, pool_frames
from mfas.heads.ridge import VOICE_PRIOR

CLASSES, DIM, STREAMS, TRAINED = 3, 2, 2, 9
FEATURES = STREAMS * DIM * len(STATISTICS)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def solve(ridge: KernelRidge, seed: int = 1) -> KernelRidge:
    """Give it some solution."""
    features = ridge.mean_F.shape[0]
    ridge.mean_F = noise(features, seed=seed)
    ridge.scale_F = noise(features, seed=seed + 1).abs() + 0.5
    ridge.supports_NF = noise(TRAINED, features, seed=seed + 2).half()
    ridge.dual_NK = noise(TRAINED, CLASSES, seed=seed + 3)
    ridge.bias_K = torch.tensor([0.2, 0.3, 0.5])
    ridge.temperature = torch.tensor(0.25)
    return ridge


def make_head(solved: bool = True) -> RidgeHead:
    head = RidgeHead(CLASSES, DIM, STREAMS, context_segments=4)
    if solved:
        solve(head.plain)
        solve(head.adapted, seed=11)
        head.population_mean_F = noise(FEATURES, seed=21)
        head.population_deviation_F = noise(FEATURES, seed=22).abs()
    return head


@pytest.fixture
def given_frames() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Two streams of four windows of up to 20 frames."""
    mask_WT = torch.arange(20) < torch.tensor([20, 7, 1, 12])[:, None]
    return [noise(4, 20, DIM, seed=5), noise(4, 20, DIM, seed=6)], [mask_WT, mask_WT]


@settings(max_examples=30)
@draw(
    width=st.integers(1, 6),
    scale=st.floats(0.01, 10),
    rows=st.integers(1, 4),
    seed=st.integers(0, 9),
)
def test_the_kernel_is_a_gaussian_whose_width_grows_with_the_features(width, scale, rows, seed):
    left_WF, right_NF = (
        scale * noise(rows, width, seed=seed),
        scale * noise(5, width, seed=seed + 50),
    )
    expected_WN = [
        [np.exp(-np.square(a - b).sum() / (2 * width)) for b in right_NF.double().numpy()]
        for a in left_WF.double().numpy()
    ]
    likeness_WN = gaussian_kernel(left_WF, right_NF)
    np.testing.assert_allclose(likeness_WN, expected_WN, rtol=0, atol=1e-4)
    assert likeness_WN.max() <= 1


def test_equal_rows_are_wholly_alike():
    rows_WF = 40 * noise(6, 50)
    itself_WW = gaussian_kernel(rows_WF.double(), rows_WF.double())
    torch.testing.assert_close(itself_WW.diagonal(), torch.ones(6).double())
    torch.testing.assert_close(itself_WW, itself_WW.T)


def test_log_probabilities_are_those_written_out():
    ridge = solve(KernelRidge(5, CLASSES))
    features_WF = 2 * noise(7, 5, seed=9)
    rows_WF = (features_WF.numpy() - ridge.mean_F.numpy()) / ridge.scale_F.numpy()
    rows_WF = rows_WF.astype(np.float16).astype(np.float64)
    supports_NF = ridge.supports_NF.double().numpy()
    squares_WN = np.square(rows_WF[:, None] - supports_NF[None]).sum(axis=2)
    scores_WK = np.exp(-squares_WN / 10) @ ridge.dual_NK.double().numpy() + [0.2, 0.3, 0.5]
    odds_WK = np.exp(scores_WK / 0.25)
    expected_WK = np.log(odds_WK / odds_WK.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(ridge(features_WF), expected_WK, rtol=0, atol=1e-4)


def test_far_from_all_training_windows_only_the_prior_is_left():
    ridge = solve(KernelRidge(5, CLASSES))
    expected_K = (torch.tensor([0.2, 0.3, 0.5]) / 0.25).log_softmax(0)
    torch.testing.assert_close(ridge(torch.full((1, 5), 1e3))[0], expected_K)


@pytest.mark.parametrize("solved_before", [False, True])
def test_a_solution_is_saved_with_its_sizes(solved_before, given_frames):
    head = make_head()
    head.adapt(Voice(noise(FEATURES, seed=31), noise(FEATURES, seed=32).abs()))
    other = make_head(solved=solved_before)
    if solved_before:  # by fewer windows
        other.plain.supports_NF = other.plain.supports_NF[:2]
        other.plain.dual_NK = other.plain.dual_NK[:2]
    other.load_state_dict(head.state_dict())
    for name, tensor in head.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
        assert other.state_dict()[name].dtype == tensor.dtype, name
    assert torch.equal(other(*given_frames), head(*given_frames))
    other.voice_mean_F.zero_()
    assert head.voice_mean_F.any(), "loaded tensors are copies"


def test_a_plain_model_is_saved_without_a_voice(given_frames):
    head, other = make_head(), make_head(solved=False)
    other.load_state_dict(head.state_dict())
    assert other.voice is None
    assert torch.equal(other(*given_frames), head(*given_frames))


@pytest.mark.parametrize("change", ["features", "classes"])
def test_a_solution_of_other_features_or_classes_is_refused(change):
    saved = make_head().state_dict()
    classes, dim = (CLASSES + 1, DIM) if change == "classes" else (CLASSES, DIM + 1)
    with pytest.raises(RuntimeError, match="size mismatch"):
        RidgeHead(classes, dim, STREAMS).load_state_dict(saved)


@pytest.mark.parametrize("condition", ["plain", "adapted"])
def test_an_unsolved_head_is_not_asked(condition, given_frames):
    head = make_head(solved=False)
    assert not head.plain.solved
    if condition == "adapted":
        head.adapt(Voice(torch.zeros(FEATURES), torch.ones(FEATURES)))
    with pytest.raises(AssertionError, match="solved before it is asked"):
        head(*given_frames)


@pytest.mark.parametrize("windows", [1, 3, 40])
def test_a_voice_is_shrunk_to_the_population_by_the_prior(windows):
    head = make_head()
    features_WF = 3 * noise(windows, FEATURES, seed=7) + 1
    voice = head.make_voice(features_WF)
    rows_WF = features_WF.double().numpy()
    own, prior = windows / (windows + VOICE_PRIOR), VOICE_PRIOR / (windows + VOICE_PRIOR)
    mean_F = own * rows_WF.mean(axis=0) + prior * head.population_mean_F.numpy()
    variance_F = own * rows_WF.var(axis=0) + prior * head.population_deviation_F.numpy() ** 2
    np.testing.assert_allclose(voice.mean_F, mean_F, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(voice.deviation_F, np.sqrt(variance_F), rtol=1e-4)
    standard_WF = (rows_WF - mean_F) / np.sqrt(variance_F)
    np.testing.assert_allclose(voice.standardise(features_WF), standard_WF, rtol=1e-3, atol=1e-4)


def test_one_recording_makes_a_voice_of_finite_numbers():
    """Its deviation is the population's, for it has none of its own."""
    head = make_head()
    features_WF = noise(1, FEATURES, seed=7)
    voice = head.make_voice(features_WF)
    share = VOICE_PRIOR / (1 + VOICE_PRIOR)
    torch.testing.assert_close(voice.deviation_F, share**0.5 * head.population_deviation_F)
    assert torch.isfinite(voice.standardise(features_WF)).all()


def test_adapting_changes_answers_until_another_voice_comes(given_frames):
    head = make_head()
    assert head.voice is None
    plain_WK = head(*given_frames)
    torch.testing.assert_close(plain_WK, head.plain(head.pool(*given_frames)))
    features_WF = head.pool(*given_frames)
    voice = head.make_voice(features_WF)
    head.adapt(voice)
    adapted_WK = head(*given_frames)
    assert torch.equal(adapted_WK, head.adapted(voice.standardise(features_WF)))
    assert not torch.allclose(adapted_WK, plain_WK)
    assert torch.equal(adapted_WK, head.classify(features_WF, voice))
    assert torch.equal(plain_WK, head.classify(features_WF))
    voice.mean_F.zero_()
    assert torch.equal(head(*given_frames), adapted_WK), "a voice is copied"


def test_streams_are_pooled_side_by_side(given_frames):
    (sec_WTD, tec_WTD), (mask_WT, _) = given_frames
    head = make_head()
    features_WF = head.pool([sec_WTD, tec_WTD.half()], [mask_WT, mask_WT])
    assert features_WF.shape == (4, FEATURES)
    assert features_WF.dtype == torch.float32
    half = FEATURES // 2
    assert torch.equal(features_WF[:, :half], pool_frames(sec_WTD, mask_WT))
    assert torch.equal(features_WF[:, half:], pool_frames(tec_WTD.half().float(), mask_WT))


def test_a_feature_that_never_varied_in_training_cannot_break_an_answer():
    ridge = KernelRidge(features=3, classes=2)
    ridge.mean_F, ridge.scale_F = torch.zeros(3), torch.tensor([1.0, 1.0, 1e-6])
    supports_NF = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    ridge.supports_NF = ridge.standardise(supports_NF).half()
    ridge.dual_NK = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    answers_WK = ridge(torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 5.0], [1.0, 0.0, -1e30]]))
    assert torch.isfinite(answers_WK).all()
    assert torch.allclose(answers_WK.exp().sum(1), torch.ones(3))
    assert answers_WK[0].argmax() == 0
