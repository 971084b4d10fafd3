"""Codebooks against those of transformers, their table of centres, their noise."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mfas.config import QuantisedSection
from mfas.pretrain.codebooks import Codebooks, gumbel_noise, perplexity


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
    section = QuantisedSection(groups=groups, codewords=codewords, dim=12)
    books, random = Codebooks(16, section, seed=3), torch.Generator().manual_seed(0)
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
    choice = books(features_BMD, noise_BMGV, temperature or 1.0)
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
    books = Codebooks(16, QuantisedSection(groups=3, codewords=4, dim=12), seed=0)
    every_CGV = books.all_centres()
    assert every_CGV.shape == (64, 3, 4)
    assert books.numbers(every_CGV).tolist() == list(range(64))
    assert books.same(every_CGV).equal(torch.eye(64, dtype=torch.bool))
    noise = gumbel_noise(torch.rand(50, 3, 4, generator=torch.Generator().manual_seed(0)))
    chosen = books(torch.randn(50, 16, generator=torch.Generator().manual_seed(1)), noise, 1.0)
    wanted = books.vectors(every_CGV)[books.numbers(chosen.chosen_GV)]
    assert torch.allclose(books.vectors(chosen.chosen_GV), wanted, atol=1e-6)


def test_codes_do_not_depend_on_the_scale_of_features() -> None:
    books = Codebooks(16, QuantisedSection(groups=2, codewords=8, dim=12), seed=0)
    features_ND = torch.randn(40, 16, generator=torch.Generator().manual_seed(0))
    once, thrice = (books(scale * features_ND, None, 1.0) for scale in (1, 3))
    assert once.chosen_GV.equal(thrice.chosen_GV)
    assert torch.allclose(once.soft_GV, thrice.soft_GV, atol=1e-3)


def test_gumbel_noise_is_finite_and_has_its_distribution() -> None:
    edges = gumbel_noise(torch.tensor([0.0, 1e-45, 1 - 2**-24]))
    assert edges.isfinite().all()
    noise = gumbel_noise(torch.rand(200_000, generator=torch.Generator().manual_seed(0)))
    assert noise.mean().item() == pytest.approx(0.5772, abs=0.02)
    assert noise.var().item() == pytest.approx(np.pi**2 / 6, abs=0.05)
