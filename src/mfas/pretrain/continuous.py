"""Continuous targets: what a slowly moving teacher makes of all frames, guessed from some of them.

A batch of crops enters, a loss leaves (MFAS, arXiv 2306.09361, section 4; data2vec, arXiv
2202.03555). The teacher is a moving average of the encoder's layers; front end and position
embedding are shared. The target of a frame is the mean over the last K layers of the feed-forward
output before its residual, each brought to zero mean and unit variance over the time of its crop.
The loss is the mean squared error over masked frames. How the encoder sees the unmasked ones is
said in `students`; several masks can share one target (arXiv 2212.07525), and the masked log-mel
frames themselves can be guessed as well (choice).

Shape legend: B crops, M masks of a crop, R = B x M rows, T frames, D width, F stacked mel bins.
"""

import copy

import torch
from torch import Tensor

from mfas.config import ContinuousSection, GuardSection, MaskSection
from mfas.encoders import TransformerEncoder, run_layers
from mfas.errors import RecipeError
from mfas.pretrain.collapse import effective_rank
from mfas.pretrain.masks import masked_frames, span_masks
from mfas.pretrain.objective import (
    Guard,
    Objective,
    ObjectiveOutput,
    SpeechBatch,
)
from mfas.pretrain.reconstruction import masked_error, masked_mel, mel_width
from mfas.pretrain.students import MaskedStudent, VisibleStudent

STUDENTS = {"masked": MaskedStudent, "visible": VisibleStudent}


class ContinuousObjective(Objective):
    """Trains `encoder` to guess its own teacher's contextual frames.

    updates: length of the run, to which the teacher's averaging windows are scaled. Raises
    `RecipeError` if K exceeds the layers, or log-mel is to be guessed without a log-mel front end.
    """

    def __init__(
        self,
        encoder: TransformerEncoder,
        settings: ContinuousSection,
        mask: MaskSection,
        guards: GuardSection,
        seed: int,
        updates: int,
    ) -> None:
        super().__init__()
        _require_possible(encoder, settings)
        self.encoder, self.settings, self.mask, self.updates = encoder, settings, mask, updates
        self.teacher = copy.deepcopy(encoder.blocks).requires_grad_(False).eval()
        outputs = [encoder.dim]
        if settings.mel_weight:
            outputs.append(mel_width(encoder, "continuous.mel_weight"))
        self.student = STUDENTS[settings.student](encoder, outputs, seed)
        self.guards = (
            Guard("target_variance", guards.target_variance, "the teacher says the same of all"),
            Guard(
                "prediction_variance", guards.prediction_variance, "the guesses are all the same"
            ),
            Guard("effective_rank", guards.effective_rank, "the features span no space"),
        )

    def train(self, mode: bool = True) -> "ContinuousObjective":
        """As `nn.Module.train`; the teacher never drops anything out."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(
        self, batch: SpeechBatch, progress: float, generator: torch.Generator
    ) -> ObjectiveOutput:
        """The error of the guesses; see `Objective.forward`."""
        del progress
        masks = self.settings.masks
        features_BTD = self.encoder.front_end(batch.waveforms_BN, batch.samples_B).features_BTD
        mask_RT = self._masks(batch, features_BTD.shape[1], generator)
        targets_RTD = self._targets(features_BTD).repeat_interleave(masks, dim=0)
        visible = mask_RT.shape[1] - masked_frames(mask_RT.shape[1], self.mask)
        rows_RTD = features_BTD.repeat_interleave(masks, dim=0)
        guesses = self.student(self.encoder, rows_RTD, mask_RT, visible)
        loss = masked_error(guesses[0], targets_RTD, mask_RT)
        measures = {
            "data2vec": loss,
            "target_variance": frame_variance(targets_RTD, mask_RT),
            "prediction_variance": frame_variance(guesses[0], mask_RT),
            "effective_rank": effective_rank(features_BTD.detach().flatten(0, 1)[:512]),
            "masked_share": mask_RT.float().mean(),
        }
        if self.settings.mel_weight:
            mel_RTF = masked_mel(self.encoder, batch.waveforms_BN).repeat_interleave(masks, dim=0)
            error = masked_error(guesses[1], mel_RTF, mask_RT)
            measures["mel"] = error
            loss = loss + self.settings.mel_weight * error
        return ObjectiveOutput(loss, {name: value.detach() for name, value in measures.items()})

    @torch.no_grad()
    def after_update(self, progress: float) -> None:
        """Move the teacher towards the encoder."""
        decay = teacher_decay(self.settings, progress, self.updates)
        pairs = zip(self.teacher.parameters(), self.encoder.blocks.parameters(), strict=True)
        for teacher, student in pairs:
            teacher.lerp_(student, 1 - decay)

    def _masks(self, batch: SpeechBatch, frames: int, generator: torch.Generator) -> Tensor:
        """Bool (R, T): the masks of this process's crops."""
        masks = self.settings.masks
        drawn = span_masks(batch.all_rows * masks, frames, self.mask, generator)
        return batch.own_rows(drawn.unflatten(0, (-1, masks))).flatten(0, 1)

    @torch.no_grad()
    def _targets(self, features_BTD: Tensor) -> Tensor:
        """float32 (B, T, D)."""
        every_BT = torch.ones(features_BTD.shape[:2], dtype=torch.bool, device=features_BTD.device)
        positioned_BTD = self.encoder.position(features_BTD, every_BT)
        outputs = run_layers(self.teacher, positioned_BTD, None)[-self.settings.layers :]
        return torch.stack([standardised(o.ffn_BTD.float()) for o in outputs]).mean(dim=0)


def teacher_decay(settings: ContinuousSection, progress: float, updates: int) -> float:
    """How much of itself the teacher keeps at an update: 1 - 1 / averaging window.

    The window grows linearly from `ema_start` to `ema_end` of the run, so that a short run has the
    same course as a long one (choice; data2vec names decays for 400,000 updates).
    """
    grown = min(1.0, progress / settings.ema_ramp)
    share = settings.ema_start + (settings.ema_end - settings.ema_start) * grown
    return 1 - 1 / max(1.0, share * updates)


def standardised(values_BTD: Tensor) -> Tensor:
    """Zero mean and unit variance over time, for every crop and dimension (instance norm)."""
    variance_BD, mean_BD = torch.var_mean(values_BTD, dim=1, correction=0, keepdim=True)
    return (values_BTD - mean_BD) * (variance_BD + 1e-5).rsqrt()


@torch.no_grad()
def frame_variance(values_RTD: Tensor, counted_RT: Tensor) -> Tensor:
    """Variance over the frames of all rows that count, mean over dimensions."""
    values_RTD, weights_RT1 = values_RTD.float(), counted_RT[..., None] / counted_RT.sum()
    mean_D = (values_RTD * weights_RT1).sum(dim=(0, 1))
    return ((values_RTD - mean_D).square() * weights_RT1).sum(dim=(0, 1)).mean()


def _require_possible(encoder: TransformerEncoder, settings: ContinuousSection) -> None:
    if settings.layers > encoder.depth:
        raise RecipeError(
            f"continuous.layers = {settings.layers}: the encoder has {encoder.depth}; ask for less"
        )
