"""Quantised targets: which of few centres a masked frame belongs to, told from the frames around it.

A batch of crops enters, a loss leaves (MFAS, arXiv 2306.09361, section 4; wav2vec 2.0, arXiv
2006.11477). Codebooks quantise the front end's features of the masked frames. A learned vector takes
the place of these frames, and a linear layer on the last hidden state guesses their centres. Guesses
are compared by cosine similarity / temperature:

- up to 144 centres, the largest number of the paper: each masked frame's own centre is its positive,
  all others are its negatives (choice; the paper says "sampled");
- more centres: negatives are those of other masked frames of the crop, sampled evenly.

A negative that is the same vector as the positive does not count. `bce`, the paper's loss: binary
cross-entropy of the positive against 1, plus the mean of that of the negatives against 0, so that
positive and negatives weigh the same however many there are (choice). `infonce`: cross-entropy, the
loss of wav2vec 2.0. To it come wav2vec 2.0's diversity loss and a penalty on the mean squared
feature; ours is of the projected features that `front_end` returns (choice), which for the log-mel
front end is a penalty on one linear layer.

Sums and counts are taken over all processes, so that each of them has the loss of the whole batch.

Shape legend: B crops, T frames, M masked frames of a crop, D width of the encoder, P width of guesses,
G codebooks, V codewords of each, C candidates: centres, or the M masked frames, S sampled negatives.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfas.config import GuardSection, MaskSection, QuantisedSection
from mfas.encoders import Features, TransformerEncoder
from mfas.encoders.seeds import initialise, seeded
from mfas.errors import RecipeError
from mfas.pretrain.codebooks import Choice, Codebooks, gumbel_noise, perplexity
from mfas.pretrain.collapse import effective_rank
from mfas.pretrain.masks import masked_frames, span_masks
from mfas.pretrain.objective import (
    Guard,
    Objective,
    ObjectiveOutput,
    SpeechBatch,
    mean_over_processes,
)
from mfas.train import derive_seed

FEW_CENTRES = 144  # up to here, all centres are candidates
RANK_FRAMES = 256  # for the effective rank; more take longer and say the same


@dataclass(frozen=True)
class Masked:
    """mask_BT: bool. frames_BM: masked frames in order. counts_BM: 1, or 0 for those that fill up.

    Overlapping spans mask unequal numbers of frames, and padding is never masked.
    """

    mask_BT: Tensor
    frames_BM: Tensor
    counts_BM: Tensor


@dataclass(frozen=True)
class Candidates:
    """Similarities of guesses. positive_BM: to their own centre. others_BMC: to every candidate.

    times_BMC: how often each of these counts as a negative; 0 for none.
    """

    positive_BM: Tensor
    others_BMC: Tensor
    times_BMC: Tensor


class QuantisedObjective(Objective):
    """Trains `encoder` to guess the codewords of masked frames.

    Raises `RecipeError` if the codebooks cannot share `settings.dim` evenly.
    """

    def __init__(
        self,
        encoder: TransformerEncoder,
        settings: QuantisedSection,
        mask: MaskSection,
        guards: GuardSection,
        seed: int,
    ) -> None:
        super().__init__()
        if settings.dim % settings.groups:
            raise RecipeError(
                f"quantised.dim = {settings.dim} does not divide by groups = {settings.groups}; "
                "change one of them"
            )
        self.encoder, self.settings, self.mask = encoder, settings, mask
        drawn = np.random.Generator(np.random.PCG64(derive_seed(seed, "mask"))).random(encoder.dim)
        self.mask_embedding_D = nn.Parameter(torch.from_numpy(2 * drawn - 1).float())
        with seeded(seed):
            self.guess = nn.Linear(encoder.dim, settings.dim)
        initialise(self.guess, derive_seed(seed, "guess"))
        self.codebooks = Codebooks(encoder.dim, settings, derive_seed(seed, "codebooks"))
        self.guards = (
            Guard("perplexity", guards.perplexity, "nearly all frames take the same codewords"),
            Guard("effective_rank", guards.effective_rank, "the features of all frames are alike"),
        )

    def forward(
        self, batch: SpeechBatch, progress: float, generator: torch.Generator
    ) -> ObjectiveOutput:
        """Contrast, diversity and feature penalty of all processes; see `Objective.forward`."""
        features = self.encoder.front_end(batch.waveforms_BN, batch.samples_B)
        masked = self._masked(batch, features.mask_BT, generator)
        guesses_BMP = self._guesses(features, masked)
        temperature = gumbel_temperature(self.settings, progress)
        with torch.autocast(guesses_BMP.device.type, enabled=False):
            inputs_BMD = _at(features.features_BTD, masked.frames_BM)
            noise_BMGV = self._noise(batch, masked, generator)
            choice = self.codebooks(inputs_BMD, noise_BMGV, temperature)
            candidates = self._candidates(batch, guesses_BMP.float(), choice, masked, generator)
            sums = self._sums(features, masked, choice, candidates)
            output = self._output(sums)
            flat_ND = inputs_BMD.detach().flatten(0, 1)
            rank = effective_rank(flat_ND[:: -(-len(flat_ND) // RANK_FRAMES)])
        measured = {"temperature": torch.full_like(rank, temperature), "effective_rank": rank}
        return ObjectiveOutput(output.loss, output.measures | measured)

    def _masked(self, batch: SpeechBatch, real_BT: Tensor, generator: torch.Generator) -> Masked:
        frames = real_BT.shape[1]
        drawn = span_masks(batch.all_rows, frames, self.mask, generator)
        mask_BT = batch.own_rows(drawn) & real_BT
        order_BT = mask_BT.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
        frames_BM = order_BT[:, : masked_frames(frames, self.mask)]
        return Masked(mask_BT, frames_BM, mask_BT.gather(1, frames_BM).float())

    def _guesses(self, features: Features, masked: Masked) -> Tensor:
        """(B, M, P): what the frames around the masked ones say of them."""
        features_BTD = features.features_BTD
        mask_embedding_D = self.mask_embedding_D.to(features_BTD.dtype)
        seen_BTD = torch.where(masked.mask_BT[..., None], mask_embedding_D, features_BTD)
        hidden_BTD = self.encoder.context(seen_BTD, features.mask_BT)[-1].hidden_BTD
        return self.guess(_at(hidden_BTD, masked.frames_BM))

    def _noise(
        self, batch: SpeechBatch, masked: Masked, generator: torch.Generator
    ) -> Tensor | None:
        """(B, M, G, V); none outside training, where the likeliest codeword is taken."""
        if not self.training:
            return None
        shape = (masked.frames_BM.shape[1], self.settings.groups, self.settings.codewords)
        drawn = torch.rand(batch.all_rows, *shape, generator=generator, device=generator.device)
        return gumbel_noise(batch.own_rows(drawn))

    def _candidates(
        self,
        batch: SpeechBatch,
        guesses_BMP: Tensor,
        choice: Choice,
        masked: Masked,
        generator: torch.Generator,
    ) -> Candidates:
        scaled_BMP = F.normalize(guesses_BMP, dim=-1) / self.settings.similarity_temperature
        centres_BMP = F.normalize(self.codebooks.vectors(choice.chosen_GV), dim=-1)
        positive_BM = (scaled_BMP * centres_BMP).sum(-1)
        numbers_BM = self.codebooks.numbers(choice.chosen_GV)
        if self.codebooks.centres <= FEW_CENTRES:
            every_CGV = self.codebooks.all_centres()
            others_BMC = scaled_BMP @ F.normalize(self.codebooks.vectors(every_CGV), dim=-1).T
            different_CC = ~self.codebooks.same(every_CGV)
            return Candidates(positive_BM, others_BMC, different_CC[numbers_BM].float())
        shape = (batch.all_rows, masked.frames_BM.shape[1], self.settings.negatives)
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        times_BMC = times_drawn(batch.own_rows(drawn), masked.counts_BM)
        different_BMC = numbers_BM[:, :, None] != numbers_BM[:, None]
        others_BMC = scaled_BMP @ centres_BMP.transpose(1, 2)
        return Candidates(positive_BM, others_BMC, times_BMC * different_BMC)

    def _sums(
        self, features: Features, masked: Masked, choice: Choice, candidates: Candidates
    ) -> dict[str, Tensor]:
        """Sums over the masked frames, or the real ones, of all processes; one exchange."""
        counts_BM = masked.counts_BM
        squares_BT = features.features_BTD.float().square().mean(-1)
        sums = {
            "masked": counts_BM.sum(),
            "real": features.mask_BT.sum().float(),
            "squares": (squares_BT * features.mask_BT).sum(),
            "contrast": (contrast(candidates, self.settings.loss) * counts_BM).sum(),
            "right": (_right(candidates) * counts_BM).sum(),
            "soft": torch.einsum("bmgv,bm->gv", choice.soft_GV, counts_BM),
            "likeliest": torch.einsum("bmgv,bm->gv", choice.likeliest_GV, counts_BM),
        }
        flat = mean_over_processes(torch.cat([value.flatten() for value in sums.values()]))
        parts = flat.split([value.numel() for value in sums.values()])
        return {
            name: part.view_as(value)
            for (name, value), part in zip(sums.items(), parts, strict=True)
        }

    def _output(self, sums: dict[str, Tensor]) -> ObjectiveOutput:
        masked = sums["masked"].clamp(min=1)
        mean_contrast = sums["contrast"] / masked
        words = self.settings.groups * self.settings.codewords
        diversity = 1 - perplexity(sums["soft"] / masked).sum() / words
        penalty = sums["squares"] / sums["real"]
        weighted = self.settings.diversity * diversity + self.settings.feature_penalty * penalty
        measures = {
            "contrast": mean_contrast,
            "diversity": diversity,
            "perplexity": perplexity(sums["likeliest"] / masked).mean(),
            "accuracy": sums["right"] / masked,
            "masked_share": sums["masked"] / sums["real"],
        }
        detached = {name: value.detach() for name, value in measures.items()}
        return ObjectiveOutput(mean_contrast + weighted, detached)


def gumbel_temperature(settings: QuantisedSection, progress: float) -> float:
    """From `gumbel_start` to `gumbel_end`, by the same factor in every equal part of the run."""
    return settings.gumbel_start * (settings.gumbel_end / settings.gumbel_start) ** progress


def times_drawn(uniform_BMS: Tensor, counts_BM: Tensor) -> Tensor:
    """How often each of the M frames is a negative of each: float (B, M, M); never of itself.

    uniform_BMS: draws from [0, 1), one for each negative; each picks one of the other frames of its
    row that count, all as likely. Of frames that are alone, nothing is drawn.
    """
    frames = counts_BM.shape[1]
    others_B11 = (counts_BM.sum(1)[:, None, None] - 1).clamp(min=0)
    picked_BMS = torch.minimum((uniform_BMS * others_B11).floor(), others_B11 - 1).long()
    own_M1 = torch.arange(frames, device=counts_BM.device)[:, None]
    picked_BMS = (picked_BMS + (picked_BMS >= own_M1)).clamp(0, frames - 1)
    times_BMM = torch.zeros(*counts_BM.shape, frames, device=counts_BM.device)
    times_BMM.scatter_add_(2, picked_BMS, torch.ones_like(uniform_BMS))
    return times_BMM * (others_B11 > 0)


def contrast(candidates: Candidates, loss: str) -> Tensor:
    """The loss of every masked frame (B, M), in float32; see the module's docstring."""
    positive_BM, times_BMC = candidates.positive_BM, candidates.times_BMC
    if loss == "bce":
        wrong_BM = (F.softplus(candidates.others_BMC) * times_BMC).sum(-1)
        return F.softplus(-positive_BM) + wrong_BM / times_BMC.sum(-1).clamp(min=1)
    against_BMC = _negatives(candidates) + times_BMC.clamp(min=1).log()
    return F.softplus(against_BMC.logsumexp(-1) - positive_BM)


def _negatives(candidates: Candidates) -> Tensor:
    """Similarities to the negatives, and a very low one, but finite, to all that are none."""
    lowest = torch.finfo(torch.float32).min / 4
    return candidates.others_BMC.masked_fill(candidates.times_BMC == 0, lowest)


def _right(candidates: Candidates) -> Tensor:
    """Whether the positive is the most similar. Without negatives (all are one codeword): no."""
    best_BM = _negatives(candidates).amax(-1)
    return (candidates.positive_BM > best_BM) & (candidates.times_BMC.sum(-1) > 0)


def _at(values_BTD: Tensor, frames_BM: Tensor) -> Tensor:
    """(B, M, D): the frames of each row."""
    return values_BTD.gather(1, frames_BM[..., None].expand(-1, -1, values_BTD.shape[-1]))
