"""Codebooks that turn feature frames into one of few centres, with a gradient (Gumbel softmax).

Features of frames and noise enter; the codeword of each book leaves, as a choice that lets gradients
through (wav2vec 2.0, arXiv 2006.11477, section 2; Jang et al., arXiv 1611.01144). A centre is one
codeword of every book side by side, through a linear layer: G books of V codewords make V^G centres.

Why not `Wav2Vec2GumbelVectorQuantizer` of transformers, against which the tests hold this one: it
draws its noise itself, where we need the same noise on one process and on several; it counts the
codewords of one process; and it gives no table of all centres. As there, features are normalised
over their width first, so codes do not depend on their scale. (The tests hold it to that one with
`score_standard = "none"`.)

Scores of codewords are standardised over the frames of a batch (choice): no codeword can then be the
best for all frames. Without it, codebooks of two codewords collapse within ten updates of the model of
Table 1, whatever the weight of the diversity loss: their frames are easier to guess that way, and once
the softmax is saturated nothing leads back.

Shape legend: leading axes are any; D width of features, G codebooks, V codewords of each, K = G V,
E width of a codeword, C = V^G centres, P width of a centre.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfas.config import QuantisedSection
from mfas.encoders.seeds import initialise, seeded
from mfas.pretrain.objective import mean_over_processes

SCORE_DEVIATION = 3.0  # of a standardised score over frames; the noise has 1.3


@dataclass(frozen=True)
class Choice:
    """Which codewords frames take, each float32 (..., G, V).

    chosen_GV: 1 for the codeword chosen with noise, else 0; the gradient is that of the softmax
    (straight-through). soft_GV: probabilities without noise. likeliest_GV: 1 for the highest of them.
    """

    chosen_GV: Tensor
    soft_GV: Tensor
    likeliest_GV: Tensor


class Codebooks(nn.Module):
    """G codebooks for features of width `inputs`, with random weights that follow from `seed`.

    `settings.groups` must divide `settings.dim`, the width of a centre.
    """

    def __init__(self, inputs: int, settings: QuantisedSection, seed: int) -> None:
        super().__init__()
        self.groups, self.codewords = settings.groups, settings.codewords
        self.standard = settings.score_standard
        self.centres = self.codewords**self.groups
        with seeded(seed):
            self.scores = nn.Linear(inputs, self.groups * self.codewords)
            self.projection = nn.Linear(settings.dim, settings.dim)
        initialise(self, seed)
        random = np.random.Generator(np.random.PCG64([seed, 1]))
        shape = (self.groups, self.codewords, settings.dim // self.groups)
        self.codewords_GVE = nn.Parameter(_uniform(shape, 1.0, random))
        # variance 1, as in wav2vec 2.0: with scores below the noise, codes say little of the frame
        weight = _uniform(tuple(self.scores.weight.shape), 3**0.5, random)
        self.scores.weight = nn.Parameter(weight)

    def forward(
        self, features_D: Tensor, counts: Tensor, noise_GV: Tensor | None, temperature: float
    ) -> Choice:
        """(..., D) and Gumbel noise (..., G, V), or none, -> the choice of every frame.

        counts: float (...), 1 for frames whose scores the standard is made of, else 0.
        """
        normal_D = F.layer_norm(features_D.float(), features_D.shape[-1:])
        scores_K = self.scores(normal_D)
        if self.standard == "batch":
            scores_K = _standardised(scores_K, counts)
        scores_GV = scores_K.unflatten(-1, (self.groups, self.codewords))
        noisy_GV = scores_GV if noise_GV is None else scores_GV + noise_GV
        relaxed_GV = (noisy_GV / temperature).softmax(-1)
        through_GV = relaxed_GV - relaxed_GV.detach()  # exactly 0, but with a gradient
        chosen_GV = _highest(noisy_GV) + through_GV
        return Choice(chosen_GV, scores_GV.softmax(-1), _highest(scores_GV))

    def vectors(self, chosen_GV: Tensor) -> Tensor:
        """Choices (..., G, V) -> projected centres (..., P).

        The projection of codewords side by side is the sum of the projections of each, so that the
        G x V codewords are projected instead of every frame.
        """
        weight_PGE = self.projection.weight.unflatten(1, (self.groups, -1))
        projected_GVP = torch.einsum("gve,pge->gvp", self.codewords_GVE, weight_PGE)
        return chosen_GV.flatten(-2) @ projected_GVP.flatten(0, 1) + self.projection.bias

    def all_centres(self) -> Tensor:
        """float32 (C, G, V): the choice that makes each centre; for few centres alone."""
        device = self.codewords_GVE.device
        numbers_CG = torch.arange(self.centres, device=device)[:, None] // self._places(device)
        return F.one_hot(numbers_CG % self.codewords, self.codewords).float()

    def numbers(self, chosen_GV: Tensor) -> Tensor:
        """int64 (...): the rows of the chosen centres in `all_centres`."""
        return (chosen_GV.argmax(-1) * self._places(chosen_GV.device)).sum(-1)

    @torch.no_grad()
    def same(self, centres_CGV: Tensor) -> Tensor:
        """Bool (C, C): whether two centres are one vector, as each is with itself."""
        equal_GVV = (self.codewords_GVE[:, :, None] == self.codewords_GVE[:, None]).all(-1)
        books_CC = torch.einsum("cgv,gvw,dgw->cd", centres_CGV, equal_GVV.float(), centres_CGV)
        return books_CC == self.groups

    def _places(self, device: torch.device) -> Tensor:
        """int64 (G,): what the codeword of each book counts in the number of a centre."""
        return self.codewords ** torch.arange(self.groups - 1, -1, -1, device=device)


def _standardised(scores_K: Tensor, counts: Tensor) -> Tensor:
    """(..., K) with mean 0 and deviation `SCORE_DEVIATION` over the frames of all processes."""
    weights = counts[..., None]
    frames = mean_over_processes(counts.sum()).clamp(min=1e-6)
    over = tuple(range(scores_K.ndim - 1))
    centred_K = scores_K - mean_over_processes((scores_K * weights).sum(over)) / frames
    variance_K = mean_over_processes((centred_K.square() * weights).sum(over)) / frames
    return centred_K * (SCORE_DEVIATION * (variance_K + 1e-6).rsqrt())


def gumbel_noise(uniform: Tensor) -> Tensor:
    """Draws from [0, 1) -> draws from the Gumbel distribution, finite."""
    return -(-uniform.clamp(min=torch.finfo(torch.float32).tiny).log()).log()


def perplexity(shares_GV: Tensor) -> Tensor:
    """exp(entropy) of the usage of each book: (G,), 1 to V."""
    # the logarithm of a share that has vanished would have no finite gradient
    return (-shares_GV * (shares_GV + 1e-20).log()).sum(-1).exp()


def _highest(scores_GV: Tensor) -> Tensor:
    """1 for the highest of each book, 0 for the others, without gradient."""
    highest_G1 = scores_GV.detach().argmax(-1, keepdim=True)
    return torch.zeros_like(scores_GV).scatter_(-1, highest_G1, 1.0)


def _uniform(shape: tuple[int, ...], bound: float, random: np.random.Generator) -> Tensor:
    drawn = random.random(shape, dtype=np.float32)
    return torch.from_numpy((2 * drawn - 1) * np.float32(bound))
