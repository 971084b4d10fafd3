"""What a run trains on and what it holds out: whole speakers, the same ones for the same seed.

A recipe enters; its speech leaves, decoded, and split by speakers.
"""

import hashlib
from collections.abc import Sequence
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


@dataclass(frozen=True)
class Material:
    """Speech to train on, and of the speakers held out (perhaps none).

    left_out: how many recordings cannot be trained on, by reason.
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
    held = held_out_speakers(speech.utterances, recipe.speech.held_out, recipe.speech.held_out_seed)
    held_R = np.array([utterance.speaker in held for utterance in speech.utterances])
    fastest = max(recipe.speech.speeds)
    played_R = np.where(held_R, speech.lengths_R, speech.lengths_R / fastest).astype(np.int64)
    if recipe.objective == "ctc":
        useful_R = _spellable(speech.utterances, played_R, encoder)
        fault = "without a transcript, or shorter than theirs"
    else:
        shortest = min(recipe.speech.crop_seconds)
        useful_R = played_R >= round(shortest * RATE_HZ)
        fault = f"shorter than {shortest:g} s"
    if fastest != 1:
        fault += f" at speed {fastest:g}"
    if not useful_R.any():
        raise ManifestError(
            f"{manifest.origin}: every recording is {fault}; add others to train on"
        )
    speech = speech.select(np.flatnonzero(useful_R).tolist())
    left_out = {fault: int((~useful_R).sum())} if not useful_R.all() else {}
    return _without_held_out(speech, recipe.speech, manifest.origin, left_out)


def _without_held_out(
    speech: Speech, settings: SpeechSection, origin: str, left_out: dict[str, int]
) -> Material:
    held = held_out_speakers(speech.utterances, settings.held_out, settings.held_out_seed)
    is_held = [utterance.speaker in held for utterance in speech.utterances]
    if all(is_held) or (settings.held_out and not held):
        speakers = len({utterance.speaker for utterance in speech.utterances})
        raise ManifestError(
            f"{origin}: {len(held)} of its {speakers} speakers would be held out; "
            "change speech.held_out_seed, or speech.held_out"
        )
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


def _spellable(
    utterances: Sequence[Utterance], lengths_R: np.ndarray, encoder: TransformerEncoder
) -> np.ndarray:
    """Bool (R,): whether CTC can spell the transcript of a recording in its frames."""
    frames_R = count_frames(encoder, torch.from_numpy(lengths_R)).tolist()
    pairs = zip(utterances, frames_R, strict=True)
    return np.array([fits(utterance.text or "", frames) for utterance, frames in pairs])
