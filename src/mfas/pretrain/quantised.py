"""Quantised targets: which centre a masked frame belongs to, told from the frames around it.

A batch of crops enters, a loss leaves (MFAS, arXiv 2306.09361, section 4; wav2vec 2.0, arXiv
2006.11477). Codebooks quantise the front end's features of the masked frames. In these frames'
places the encoder sees a learned vector; a linear layer on its last hidden state guesses the centres,
and a contrast tells how well, against

- all other centres, where there are at most 144 of them, the most that the paper has (choice; the
  paper says "sampled", and is near all of them where centres are few);
- else the centres of other masked frames of the crop, sampled evenly (wav2vec 2.0).

Two terms of wav2vec 2.0 are added: one for codebooks whose codewords are used unevenly, and the mean
squared feature. One centre for all frames is the easiest to guess, and only the first term stands
against it: few centres need more of it than wav2vec 2.0 gives. The second is of the features that
`front_end` returns, behind its projection (choice). All that follows normalises them, so nothing
holds them up against the penalty, which shrinks them: for log-mel, one linear layer.

Beside the centres, the masked log-mel frames themselves can be guessed (choice; `reconstruction`).

Sums and counts are those of all processes, so each of them has the loss of the whole batch; of the
error of log-mel each has its share, and the mean over processes is that of the whole.

Shape legend: B crops, T frames, M masked frames of a crop, N frames of any crop, D width of the encoder,
P width of guesses and centres, G codebooks, V codewords of each, C candidates.
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
from mfas.pretrain.contrast import Candidates, contrast, found, times_drawn
from mfas.pretrain.masks import masked_frames, span_masks
from mfas.pretrain.objective import (
    Guard,
    Objective,
    ObjectiveOutput,
    SpeechBatch,
    mean_over_processes,
)
from mfas.pretrain.reconstruction import masked_error, masked_mel, mel_width
from mfas.train import derive_seed

FEW_CENTRES = 144
RANK_FRAMES = 512


@dataclass(frozen=True)
class MaskedFrames:
    """mask_BT: bool. frames_BM: the masked frames of each row. counts_BM: float, 1 for these.

    Rows with fewer masked frames (spans may overlap, padding is never masked) are filled up with
    others, whose count is 0.
    """

    mask_BT: Tensor
    frames_BM: Tensor
    counts_BM: Tensor


class QuantisedObjective(Objective):
    """Trains `encoder` to guess the centres of masked frames.

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
                f"quantised.dim = {settings.dim} does not divide by quantised.groups = "
                f"{settings.groups}; change one of them"
            )
        self.encoder, self.settings, self.mask = encoder, settings, mask
        random = np.random.Generator(np.random.PCG64(derive_seed(seed, "mask embedding")))
        drawn_D = 2 * random.random(encoder.dim, dtype=np.float32) - 1
        self.mask_embedding_D = nn.Parameter(torch.from_numpy(drawn_D))
        with seeded(seed):
            self.guess = nn.Linear(encoder.dim, settings.dim)
        initialise(self.guess, derive_seed(seed, "guess"))
        self.codebooks = Codebooks(encoder.dim, settings, derive_seed(seed, "codebooks"))
        if settings.mel_weight:
            with seeded(seed):
                self.mel_guess = nn.Linear(encoder.dim, mel_width(encoder, "quantised.mel_weight"))
            initialise(self.mel_guess, derive_seed(seed, "mel guess"))
        self.guards = (
            Guard("perplexity", guards.perplexity, "nearly all frames take the same codewords"),
            Guard("effective_rank", guards.effective_rank, "the features span no space"),
        )

    def forward(
        self, batch: SpeechBatch, progress: float, generator: torch.Generator
    ) -> ObjectiveOutput:
        """Contrast, diversity and feature penalty, weighted; see `Objective.forward`."""
        temperature = gumbel_temperature(self.settings, progress)
        features = self.encoder.front_end(batch.waveforms_BN, batch.samples_B)
        masked = self._masked_frames(batch, features.mask_BT, generator)
        hidden_BTD = self._hidden(features, masked)
        guesses_BMP = self.guess(_at(hidden_BTD, masked.frames_BM))
        with torch.autocast(guesses_BMP.device.type, enabled=False):
            targets_BMD = _at(features.features_BTD, masked.frames_BM).float()
            choice = self._quantised(batch, targets_BMD, masked, temperature, generator)
            candidates = self._candidates(batch, guesses_BMP.float(), choice, masked, generator)
            output = self._output(self._sums(features, masked, choice, candidates))
            frames_ND = targets_BMD.detach().flatten(0, 1)
            step = -(-len(frames_ND) // RANK_FRAMES)
            measures = {
                **output.measures,
                "temperature": torch.full_like(output.loss, temperature).detach(),
                "effective_rank": effective_rank(frames_ND[::step]),
            }
        loss = output.loss
        if self.settings.mel_weight:
            mel_BTF = masked_mel(self.encoder, batch.waveforms_BN)
            error = masked_error(self.mel_guess(hidden_BTD), mel_BTF, masked.mask_BT)
            measures["mel"] = error.detach()
            loss = loss + self.settings.mel_weight * error
        return ObjectiveOutput(loss, measures)

    def _masked_frames(
        self, batch: SpeechBatch, real_BT: Tensor, generator: torch.Generator
    ) -> MaskedFrames:
        frames = real_BT.shape[1]
        drawn = span_masks(batch.all_rows, frames, self.mask, generator)
        mask_BT = batch.own_rows(drawn) & real_BT
        masked_first_BT = mask_BT.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
        frames_BM = masked_first_BT[:, : max(1, masked_frames(frames, self.mask))]
        return MaskedFrames(mask_BT, frames_BM, mask_BT.gather(1, frames_BM).float())

    def _hidden(self, features: Features, masked: MaskedFrames) -> Tensor:
        """(B, T, D): what the encoder makes of the frames around the masked ones."""
        mask_embedding_D = self.mask_embedding_D.to(features.features_BTD.dtype)
        mask_BT1 = masked.mask_BT[..., None]
        seen_BTD = torch.where(mask_BT1, mask_embedding_D, features.features_BTD)
        return self.encoder.context(seen_BTD, features.mask_BT)[-1].hidden_BTD

    def _quantised(
        self,
        batch: SpeechBatch,
        targets_BMD: Tensor,
        masked: MaskedFrames,
        temperature: float,
        generator: torch.Generator,
    ) -> Choice:
        """Without noise outside training, as usual: the likeliest codewords."""
        noise_BMGV = None
        if self.training:
            books = (self.settings.groups, self.settings.codewords)
            shape = (batch.all_rows, targets_BMD.shape[1], *books)
            drawn = torch.rand(shape, generator=generator, device=generator.device)
            noise_BMGV = gumbel_noise(batch.own_rows(drawn))
        return self.codebooks(targets_BMD, masked.counts_BM, noise_BMGV, temperature)

    def _candidates(
        self,
        batch: SpeechBatch,
        guesses_BMP: Tensor,
        choice: Choice,
        masked: MaskedFrames,
        generator: torch.Generator,
    ) -> Candidates:
        scaled_BMP = F.normalize(guesses_BMP, dim=-1) / self.settings.similarity_temperature
        centres_BMP = F.normalize(self.codebooks.vectors(choice.chosen_GV), dim=-1)
        positive_BM = (scaled_BMP * centres_BMP).sum(-1)
        numbers_BM = self.codebooks.numbers(choice.chosen_GV)
        if self.codebooks.centres <= FEW_CENTRES:
            every_CGV = self.codebooks.all_centres()
            every_CP = F.normalize(self.codebooks.vectors(every_CGV), dim=-1)
            different_CC = ~self.codebooks.same(every_CGV)
            return Candidates(
                positive_BM, scaled_BMP @ every_CP.T, different_CC[numbers_BM].float()
            )
        shape = (batch.all_rows, numbers_BM.shape[1], self.settings.negatives)
        drawn = torch.rand(shape, generator=generator, device=generator.device)
        times_BMC = times_drawn(batch.own_rows(drawn), masked.counts_BM)
        different_BMC = numbers_BM[:, :, None] != numbers_BM[:, None]
        others_BMC = scaled_BMP @ centres_BMP.transpose(1, 2)
        return Candidates(positive_BM, others_BMC, times_BMC * different_BMC)

    def _sums(
        self,
        features: Features,
        masked: MaskedFrames,
        choice: Choice,
        candidates: Candidates,
    ) -> dict[str, Tensor]:
        """Sums over masked frames, or real ones, as means over processes: their ratios are exact."""
        counts_BM = masked.counts_BM
        squares_BT = features.features_BTD.float().square().mean(-1)
        sums = {
            "masked": counts_BM.sum(),
            "real": features.mask_BT.sum().float(),
            "squares": (squares_BT * features.mask_BT).sum(),
            "contrast": (contrast(candidates, self.settings.loss) * counts_BM).sum(),
            "found": (found(candidates) * counts_BM).sum(),
            "soft_GV": torch.einsum("bmgv,bm->gv", choice.soft_GV, counts_BM),
            "likeliest_GV": torch.einsum("bmgv,bm->gv", choice.likeliest_GV, counts_BM),
        }
        together = mean_over_processes(torch.cat([value.flatten() for value in sums.values()]))
        parts = together.split([value.numel() for value in sums.values()])
        shaped = (part.view_as(value) for part, value in zip(parts, sums.values(), strict=True))
        return dict(zip(sums, shaped, strict=True))

    def _output(self, sums: dict[str, Tensor]) -> ObjectiveOutput:
        settings, masked = self.settings, sums["masked"].clamp(min=1e-6)
        used = perplexity(sums["soft_GV"] / masked).sum()
        diversity = 1 - used / (settings.groups * settings.codewords)
        mean_contrast, penalty = sums["contrast"] / masked, sums["squares"] / sums["real"]
        loss = mean_contrast + settings.diversity * diversity + settings.feature_penalty * penalty
        measures = {
            "contrast": mean_contrast,
            "diversity": diversity,
            "perplexity": perplexity(sums["likeliest_GV"] / masked).mean(),
            "accuracy": sums["found"] / masked,
            "masked_share": sums["masked"] / sums["real"],
        }
        return ObjectiveOutput(loss, {name: value.detach() for name, value in measures.items()})


def gumbel_temperature(settings: QuantisedSection, progress: float) -> float:
    """From `gumbel_start` to `gumbel_end`, by the same factor in equal parts of the run."""
    return settings.gumbel_start * (settings.gumbel_end / settings.gumbel_start) ** progress


def _at(values_BTD: Tensor, frames_BM: Tensor) -> Tensor:
    """(B, M, D): some frames of each row."""
    return values_BTD.gather(1, frames_BM[..., None].expand(-1, -1, values_BTD.shape[-1]))
