"""Guesses of masked frames against real values: their error, and log-mel as such values (choice).

A guess of the masked log-mel frames themselves can join either objective: it needs no teacher and no
codebooks, so it goes on teaching when these have little more to say.

Shape legend: B crops, N samples, R rows, T frames, O outputs, F stacked mel bins.
"""

import torch
from torch import Tensor

from mfas.encoders import LogMel, TransformerEncoder
from mfas.errors import RecipeError
from mfas.pretrain.objective import mean_over_processes


def masked_error(guess_RTO: Tensor, target_RTO: Tensor, mask_RT: Tensor) -> Tensor:
    """Squared error, mean over outputs and over the masked frames of all processes."""
    error_RT = (guess_RTO.float() - target_RTO).square().mean(dim=-1)
    return (error_RT * mask_RT).sum() / mean_over_processes(mask_RT.sum().float()).clamp(min=1e-6)


def mel_width(encoder: TransformerEncoder, key: str) -> int:
    """F of `encoder`; raises `RecipeError`, naming the recipe's `key`, if it has no log-mel."""
    if not isinstance(encoder.front, LogMel):
        raise RecipeError(f"{key}: the encoder has no log-mel front end; set it to 0")
    return encoder.front.projection.in_features


@torch.no_grad()
def masked_mel(encoder: TransformerEncoder, waveforms_BN: Tensor) -> Tensor:
    """What is to be guessed: float32 (B, T, F)."""
    assert isinstance(encoder.front, LogMel), "see `mel_width`"
    return encoder.front.inputs(waveforms_BN)
