"""Codebooks against those of transformers, their standard by hand, table of centres, noise."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from mfas.config import QuantisedSection
from mfas.pretrain.codebooks import Codebooks, gumbel_noise, perplexity

by_standard = pytest.mark.parametrize("standard", ["batch", "none"])


def books_of(groups: int, codewords: int, standard: str = "batch", seed: int = 0) -> Codebooks:
    """For features of width 16; every codeword has a bias."""
    values = {"groups": groups, "codewords": codewords, "score_standard": standard, "dim": 12}
    books = Codebooks(16, QuantisedSection.model_validate(values), seed)
    with torch.no_grad():
        books.scores.bias.copy_(torch.linspace(-1, 1, groups * codewords))
    return books


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_perplexity_of_vanished_codewords_has_a_finite_gradient() -> None:
    shares_GV = torch.tensor([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]], requires_grad=True)
    result_G = perplexity(shares_GV)
    result_G.sum().backward()
    assert torch.allclose(result_G, torch.tensor([1.0, 3.0]))
    assert shares_GV.grad is not None and shares_GV.grad.isfinite().all()


def transformers_quantiser(books: Codebooks) -> Any:
    from transformers import Wav2Vec2Config
    from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2GumbelVectorQuantizer

    theirs = Wav2Vec2GumbelVectorQuantizer(
        Wav2Vec2Config(
            conv_dim=(16,) * 7,
            num_codevector_groups=books.groups,
            num_codevectors_per_group=books.codewords,
            codevector_dim=books.projection.in_features,
        )
    )
    with torch.no_grad():
        theirs.weight_proj.weight.copy_(0.1 * books.scores.weight)
        books.scores.weight.copy_(theirs.weight_proj.weight)
        theirs.weight_proj.bias.copy_(torch.linspace(-1, 1, len(books.scores.bias)))
        books.scores.bias.copy_(theirs.weight_proj.bias)
        theirs.codevectors.copy_(books.codewords_GVE.flatten(0, 1)[None])
    return theirs


@pytest.mark.parametrize("temperature", [None, 2.0, 0.5])
@pytest.mark.parametrize("shape", [(2, 5), (4, 3), (1, 7)])
def test_codebooks_are_those_of_transformers(
    temperature: float | None, shape: tuple[int, int]
) -> None:
    """Vectors, perplexity and gradients, without noise and with the noise that theirs draws."""
    groups, codewords = shape
    books, random = books_of(*shape, "none", seed=3), torch.Generator().manual_seed(0)
    theirs = transformers_quantiser(books).train(temperature is not None)
    features_BMD = torch.randn(2, 9, 16, generator=random)
    mask_BM = torch.arange(9) < torch.tensor([[9], [4]])
    noise_BMGV, state = None, torch.get_rng_state()
    if temperature is not None:
        theirs.temperature = temperature
        torch.manual_seed(5)
        noise_BMGV = -torch.empty(2, 9, groups, codewords).exponential_().log()
        torch.manual_seed(5)
    normal_BMD = F.layer_norm(features_BMD, (16,))
    words_BMP, used = theirs(normal_BMD, mask_time_indices=mask_BM)
    torch.set_rng_state(state)
    choice = books(features_BMD, mask_BM.float(), noise_BMGV, temperature or 1.0)
    usage = choice.likeliest_GV if temperature is None else choice.soft_GV
    assert torch.allclose(perplexity(usage[mask_BM].mean(0)).sum(), used, rtol=1e-5)
    wanted_BMP = books.projection(words_BMP)
    assert torch.allclose(books.vectors(choice.chosen_GV), wanted_BMP, atol=1e-6)
    if temperature is not None:
        weights = torch.randn(wanted_BMP.shape, generator=random)
        ours = (books.vectors(choice.chosen_GV) * weights).sum() + perplexity(
            choice.soft_GV[mask_BM].mean(0)
        ).sum()
        ours_g = torch.autograd.grad(ours, [books.scores.weight, books.codewords_GVE])
        loss = (wanted_BMP * weights).sum() + used
        theirs_g = torch.autograd.grad(loss, [theirs.weight_proj.weight, theirs.codevectors])
        assert torch.allclose(ours_g[0], theirs_g[0], atol=1e-4)
        assert torch.allclose(ours_g[1].flatten(0, 1), theirs_g[1][0], atol=1e-4)


def test_the_table_of_centres_holds_every_choice_at_its_number() -> None:
    books = books_of(3, 4)
    every_CGV = books.all_centres()
    assert every_CGV.shape == (64, 3, 4)
    assert books.numbers(every_CGV).tolist() == list(range(64))
    assert books.same(every_CGV).equal(torch.eye(64, dtype=torch.bool))
    noise = gumbel_noise(torch.rand(50, 3, 4, generator=torch.Generator().manual_seed(0)))
    chosen = books(normal(50, 16, seed=1), torch.ones(50), noise, 1.0)
    wanted = books.vectors(every_CGV)[books.numbers(chosen.chosen_GV)]
    assert torch.allclose(books.vectors(chosen.chosen_GV), wanted, atol=1e-6)


def scores_by_hand(books: Codebooks, features_BMD: Tensor) -> np.ndarray:
    """float64 (B, M, G, V), before any standard."""
    features_BMD = features_BMD.double().numpy()
    centred_BMD = features_BMD - features_BMD.mean(-1, keepdims=True)
    normal_BMD = centred_BMD / np.sqrt(features_BMD.var(-1, keepdims=True) + 1e-5)
    weight, bias = (p.detach().double().numpy() for p in books.scores.parameters())
    return (normal_BMD @ weight.T + bias).reshape(
        *features_BMD.shape[:2], books.groups, books.codewords
    )


def softmax(scores_BMGV: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores_BMGV)
    return exponentials / exponentials.sum(-1, keepdims=True)


rows_of_counts = st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=4)


@given(
    shape=st.sampled_from([(1, 2), (2, 5), (4, 3)]), counts=rows_of_counts, seed=st.integers(0, 99)
)
def test_scores_are_standardised_over_the_frames_that_count(
    shape: tuple[int, int], counts: list[list[bool]], seed: int
) -> None:
    """Each codeword's to mean 0 and deviation 3; the others are moved and scaled along."""
    counted_BM = np.array(counts)
    assume(counted_BM.sum() > 2)
    books, features_BMD = books_of(*shape, seed=seed), normal(*counted_BM.shape, 16, seed=seed)
    scores_BMGV = scores_by_hand(books, features_BMD)
    counted_NGV = scores_BMGV[counted_BM]
    wanted_BMGV = 3 * (scores_BMGV - counted_NGV.mean(0)) / counted_NGV.std(0)
    counts_BM = torch.from_numpy(counted_BM).float()
    choice = books(features_BMD, counts_BM, None, 1.0)
    np.testing.assert_allclose(choice.soft_GV.detach(), softmax(wanted_BMGV), atol=1e-3)
    plain = books_of(*shape, "none", seed=seed)(features_BMD, counts_BM, None, 1.0)
    np.testing.assert_allclose(plain.soft_GV.detach(), softmax(scores_BMGV), atol=1e-4)


@by_standard
def test_noise_joins_the_scores_that_are_standardised(standard: str) -> None:
    books, features_BMD = books_of(2, 5, standard), normal(3, 20, 16)
    noise_BMGV = gumbel_noise(torch.rand(3, 20, 2, 5, generator=torch.Generator().manual_seed(4)))
    scores_BMGV = scores_by_hand(books, features_BMD)
    if standard == "batch":
        spread_GV = scores_BMGV.std((0, 1))
        scores_BMGV = 3 * (scores_BMGV - scores_BMGV.mean((0, 1))) / spread_GV
    choice = books(features_BMD, torch.ones(3, 20), noise_BMGV, 0.7)
    noisy_BMGV = scores_BMGV + noise_BMGV.double().numpy()
    assert (choice.chosen_GV.argmax(-1).numpy() == noisy_BMGV.argmax(-1)).all()
    assert (choice.likeliest_GV.argmax(-1).numpy() == scores_BMGV.argmax(-1)).all()
    assert not choice.chosen_GV.argmax(-1).equal(choice.likeliest_GV.argmax(-1))
    np.testing.assert_allclose(choice.soft_GV.detach(), softmax(scores_BMGV), atol=1e-4)


def test_frames_that_do_not_count_change_nothing_for_the_others() -> None:
    books, counted_BM = books_of(2, 5), torch.arange(9) < torch.tensor([[9], [4]])
    features_BMD = normal(2, 9, 16)
    changed_BMD = features_BMD + 100 * normal(2, 9, 16, seed=1) * ~counted_BM[..., None]
    changed_BMD.requires_grad_()
    before = books(features_BMD, counted_BM.float(), None, 1.0).soft_GV[counted_BM]
    after = books(changed_BMD, counted_BM.float(), None, 1.0).soft_GV[counted_BM]
    assert torch.allclose(before, after, atol=1e-6)
    after.square().sum().backward()
    assert changed_BMD.grad is not None
    assert (changed_BMD.grad[counted_BM].abs().amax(-1) > 0).all()
    assert (changed_BMD.grad[~counted_BM] == 0).all()


def test_the_gradient_runs_through_the_standard() -> None:
    """Against differences: a frame moves the mean and the deviation of all."""
    books, features_BMD = books_of(1, 3).double(), normal(1, 4, 16)
    counts_BM, weights = torch.tensor([[1.0, 1, 1, 0]]), normal(1, 4, 1, 3, seed=2).double()

    def loss(change: Tensor) -> Tensor:
        books.scores.weight.data += change
        result = (books(features_BMD, counts_BM, None, 1.0).soft_GV * weights).sum()
        books.scores.weight.data -= change
        return result

    # `forward` computes features in float32; weights in float64 leave the differences exact enough
    books.scores.register_forward_pre_hook(lambda module, given: (given[0].double(),))
    (gradient,) = torch.autograd.grad(loss(torch.zeros(3, 16)), [books.scores.weight])
    for place in ((0, 0), (1, 7), (2, 15)):
        step = torch.zeros(3, 16, dtype=torch.float64)
        step[place] = 1e-5
        slope = (loss(step) - loss(-step)).item() / 2e-5
        assert gradient[place].item() == pytest.approx(slope, rel=1e-4, abs=1e-7)


def nearly_alike(frames: int, seed: int) -> Tensor:
    """One vector and a thousandth of noise, (N, D)."""
    return normal(16, seed=seed) + 0.001 * normal(frames, 16, seed=seed + 1)


@given(
    frames=st.integers(2, 80),
    groups=st.integers(1, 3),
    codewords=st.integers(2, 6),
    seed=st.integers(0, 999),
)
def test_no_codeword_is_the_likeliest_of_all_frames(
    frames: int, groups: int, codewords: int, seed: int
) -> None:
    """However alike the frames: it would need a mean above the others', and all means are 0."""
    books = books_of(groups, codewords, seed=seed)
    choice = books(nearly_alike(frames, seed), torch.ones(frames), None, 1.0)
    # frames that are as likely under two codewords, as both of two frames may be, count for both
    best_NGV = choice.soft_GV > choice.soft_GV.amax(-1, keepdim=True) - 1e-3
    assert (best_NGV.any(0).sum(-1) >= 2).all()


@pytest.mark.parametrize("seed", range(5))
def test_without_a_standard_one_codeword_takes_all_frames_that_are_nearly_alike(seed: int) -> None:
    """And with it, two share them about evenly."""
    features_ND, taken = nearly_alike(200, seed), {}
    for standard in ("batch", "none"):
        choice = books_of(4, 2, standard, seed)(features_ND, torch.ones(200), None, 1.0)
        taken[standard] = choice.likeliest_GV.sum(0).amax(-1)
    assert (taken["none"] == 200).all()
    assert (taken["batch"] < 130).all()


@pytest.mark.parametrize(
    ("frames", "counted"), [(20, 20), (20, 1), (20, 0), (1, 1)], ids=["all", "one", "none", "only"]
)
@pytest.mark.parametrize("alike", [True, False])
def test_scores_without_deviation_are_finite(frames: int, counted: int, alike: bool) -> None:
    books = books_of(2, 3)
    features_ND = normal(16).expand(frames, 16) if alike else normal(frames, 16)
    features_ND = features_ND.clone().requires_grad_()
    counts_N = (torch.arange(frames) < counted).float()
    choice = books(features_ND, counts_N, torch.zeros(frames, 2, 3), 0.5)
    (books.vectors(choice.chosen_GV).sum() + choice.soft_GV.square().sum()).backward()
    assert choice.soft_GV.isfinite().all()
    for gradient in (features_ND.grad, books.scores.weight.grad, books.codewords_GVE.grad):
        assert gradient is not None and gradient.isfinite().all()
    if alike and counted:
        assert torch.allclose(choice.soft_GV, torch.tensor(1 / 3), atol=1e-2)


@by_standard
def test_codes_do_not_depend_on_the_scale_of_features(standard: str) -> None:
    books, features_ND = books_of(2, 8, standard), normal(40, 16)
    once, thrice = (books(scale * features_ND, torch.ones(40), None, 1.0) for scale in (1, 3))
    assert once.chosen_GV.equal(thrice.chosen_GV)
    assert torch.allclose(once.soft_GV, thrice.soft_GV, atol=1e-3)


def test_gumbel_noise_is_finite_and_has_its_distribution() -> None:
    edges = gumbel_noise(torch.tensor([0.0, 1e-45, 1 - 2**-24]))
    assert edges.isfinite().all()
    noise = gumbel_noise(torch.rand(200_000, generator=torch.Generator().manual_seed(0)))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.var().item() == pytest.approx(np.pi**2 / 6, abs=0.05)
