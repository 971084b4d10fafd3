"""What a run trains on and what it holds out: whole speakers, the same ones for the same seed.

A recipe enters; its speech leaves, decoded, and split by speakers.
"""

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
import torch

from mfas.audio import RATE_HZ
from mfas.config import PretrainRecipe, SpeechSection
from mfas.corpora import Utterance, read_manifest
from mfas.encoders import TransformerEncoder, default_cache_folder
from mfas.errors import ManifestError, RecipeError
from mfas.pretrain.ctc import count_frames, fits
from mfas.pretrain.speech import Progress, Speech, decode_speech

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Material:
    """Speech to train on, and of the speakers held out (perhaps none).

    left_out: utterances that cannot be trained on, by reason.
    """

    train: Speech
    held_out: Speech
    left_out: dict[str, int]


def read_material(
    recipe: PretrainRecipe, encoder: TransformerEncoder, progress: Progress | None = None
) -> Material:
    """The speech that `recipe` names, as far as `encoder` can train on it.

    Raises `RecipeError`, `ManifestError` or `AudioError`.
    """
    if recipe.speech.manifest is None:
        raise RecipeError(
            "speech.manifest is not set; name a CSV with file,speaker, as "
            "--speech.manifest speech.csv"
        )
    manifest = read_manifest(recipe.speech.manifest, labelled=False)
    speech = decode_speech(manifest, default_cache_folder(), progress)
    left_out: dict[str, int] = {}
    if recipe.objective == "ctc":
        speech = _with_transcripts(speech, encoder, left_out)
    else:
        speech = _long_enough(speech, recipe.speech, left_out)
    for reason, count in left_out.items():
        _log.warning("%s: %d utterances are left out: %s", manifest.origin, count, reason)
    held = held_out_speakers(speech.utterances, recipe.speech.held_out, recipe.speech.held_out_seed)
    is_held = [utterance.speaker in held for utterance in speech.utterances]
    return Material(
        train=speech.select([i for i, held in enumerate(is_held) if not held]),
        held_out=speech.select([i for i, held in enumerate(is_held) if held]),
        left_out=left_out,
    )


def held_out_speakers(utterances: tuple[Utterance, ...], share: float, seed: int) -> frozenset[str]:
    """About `share` of the speakers; who they are depends on their names and the seed alone.

    So pretraining and fine-tuning on the same speech hold the same speakers out.
    """
    speakers = {utterance.speaker for utterance in utterances}
    return frozenset(s for s in speakers if _position(s, seed) < share)


def _position(speaker: str, seed: int) -> float:
    """A number from 0 to 1 that follows from the speaker's name."""
    digest = hashlib.sha256(f"{seed}/{speaker}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _long_enough(speech: Speech, settings: SpeechSection, left_out: dict[str, int]) -> Speech:
    shortest = min(settings.crop_seconds)
    fills_R = speech.lengths_R >= round(shortest * RATE_HZ)
    return _keep(speech, fills_R, left_out, f"shorter than {shortest:g} s")


def _with_transcripts(
    speech: Speech, encoder: TransformerEncoder, left_out: dict[str, int]
) -> Speech:
    frames_R = count_frames(encoder, torch.from_numpy(speech.lengths_R)).tolist()
    pairs = zip(speech.utterances, frames_R, strict=True)
    fits_R = np.array([fits(utterance.text or "", frames) for utterance, frames in pairs])
    return _keep(speech, fits_R, left_out, "without a transcript, or shorter than theirs")


def _keep(speech: Speech, wanted_R: np.ndarray, left_out: dict[str, int], reason: str) -> Speech:
    """The wanted recordings; how many others there were goes to `left_out`."""
    if not wanted_R.any():
        raise ManifestError(f"every utterance is {reason}; there is nothing to train on")
    if not wanted_R.all():
        left_out[reason] = int((~wanted_R).sum())
    return speech.select(np.flatnonzero(wanted_R).tolist())
