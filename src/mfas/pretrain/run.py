"""`mfas pretrain`: a recipe becomes a folder that holds a trained encoder.

recipe.toml log.jsonl tensorboard/    from the start
checkpoint.safetensors snapshot/      while it runs: where to go on, and the encoder so far
config.json model.safetensors         at the end: the encoder, which `encoders` can load
ctc.safetensors                       and the head that spells, if it was fine-tuned on transcripts,
                                      its blanks held back as suits held-out speakers best
result.json                           what was done, on what, how fast, and the last measures
"""

import dataclasses
import logging
import platform
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from mfas import __version__
from mfas.config import PretrainRecipe, StartSection, read_pretrain_recipe
from mfas.encoders import COMPACT, TABLE1, Role, TransformerEncoder
from mfas.errors import RecipeError, RunError
from mfas.pretrain.batches import Plan, endless_plans, plan_crops, plan_recordings
from mfas.pretrain.continuous import ContinuousObjective
from mfas.pretrain.ctc import CtcObjective
from mfas.pretrain.journal import CHECKPOINT, RECIPE, SNAPSHOT, Journal, Progress
from mfas.pretrain.loop import Trainer
from mfas.pretrain.material import Material, read_material
from mfas.pretrain.objective import Objective
from mfas.pretrain.quantised import QuantisedObjective
from mfas.pretrain.speech import Speech
from mfas.pretrain.spelling import Spelling, Spoken, hear, plain_rates, weigh_spelling
from mfas.pretrain.transcripts import ErrorRates
from mfas.storage import holds_begun_work, read_json, write_json
from mfas.train import cpu_threads, derive_seed, make_accelerator

SIZES = {"table1": TABLE1, "compact": COMPACT}
RESULT = "result.json"
_log = logging.getLogger(__name__)


def pretrain(
    recipe: PretrainRecipe,
    out: Path,
    resume: bool = False,
    progress: Progress = lambda what, done, total: None,
    minutes: float | None = None,
) -> dict[str, Any] | None:
    """Train the encoder of `recipe` into the folder `out`; returns what result.json holds.

    With `resume`, a run that was interrupted goes on, and a finished one is left as it is. With
    `minutes`, a run that needs longer stops behind a checkpoint, and None is returned. Raises
    `RunError` if `out` holds something else, and `FailedError` if the run diverges or collapses.
    """
    out = Path(out)
    _check_folder(out, recipe, resume)
    if (out / RESULT).exists():
        return dict(read_json(out / RESULT))
    with cpu_threads(recipe.optimize):
        accelerator = make_accelerator(recipe.optimize)
        accelerator.wait_for_everyone()  # until all have seen `out` as it was
        with _own_randomness(accelerator):
            finished = _train(recipe, out, accelerator, progress, minutes)
        accelerator.wait_for_everyone()
    return dict(read_json(out / RESULT)) if finished else None


def _train(
    recipe: PretrainRecipe,
    out: Path,
    accelerator: Accelerator,
    progress: Progress,
    minutes: float | None,
) -> bool:
    encoder = start_encoder(recipe.encoder, recipe.objective, recipe.seed, recipe.name)
    objective = make_objective(recipe, encoder)
    with _main_process_first(accelerator):
        material = read_material(recipe, encoder, partial(progress, "decoding"))
    if accelerator.is_main_process:
        for reason, count in material.left_out.items():
            _log.warning("%s: left out %d: %s", recipe.speech.manifest, count, reason)
    trainer = Trainer(objective, recipe, accelerator)
    trainer.restore(out / CHECKPOINT)
    validate = partial(_error_rates, trainer, material.held_out)
    with closing(Journal(out, trainer, validate, progress)) as journal:
        plans = partial(_plans, recipe, material.train, accelerator.num_processes)
        finished = trainer.run(material.train, plans, journal.write, journal.save, minutes)
    if finished and accelerator.is_main_process:
        _finish(out, trainer, material, journal.lines[-1])
    return finished


def start_encoder(
    settings: StartSection, objective: str, seed: int, name: str
) -> TransformerEncoder:
    """The encoder that a run begins with: of a size, from `seed`, or from a folder.

    Raises `ModelError` if the folder holds none of ours, `RecipeError` if it has too few layers.
    """
    role: Role = "tec" if objective == "ctc" else "sec"
    if settings.start is None:
        size = SIZES[settings.size]
        config = dataclasses.replace(size, name=name, dropout=settings.dropout)
        return TransformerEncoder(config, role, seed)
    encoder = TransformerEncoder.load(settings.start, role, name=name, dropout=settings.dropout)
    if settings.fresh_layers > encoder.depth:
        raise RecipeError(
            f"encoder.fresh_layers = {settings.fresh_layers}: the encoder has {encoder.depth}; "
            "ask for less"
        )
    encoder.renew_layers(settings.fresh_layers, derive_seed(seed, "fresh layers"))
    return encoder


def make_objective(recipe: PretrainRecipe, encoder: TransformerEncoder) -> Objective:
    """What `encoder` is trained by."""
    if recipe.objective == "ctc":
        return CtcObjective(encoder, recipe.ctc, recipe.seed)
    if recipe.objective == "quantised":
        return QuantisedObjective(
            encoder, recipe.quantised, recipe.mask, recipe.guards, recipe.seed
        )
    return ContinuousObjective(
        encoder,
        recipe.continuous,
        recipe.mask,
        recipe.guards,
        recipe.seed,
        recipe.optimize.updates,
    )


def _plans(recipe: PretrainRecipe, speech: Speech, processes: int, update: int) -> Iterator[Plan]:
    """The batches behind the first `update` ones."""
    seconds = recipe.optimize.batch_seconds

    def plan_epoch(seed: int) -> list[Plan]:
        if recipe.objective == "ctc":
            return plan_recordings(speech, seconds, processes, seed, recipe.speech.speeds)
        return plan_crops(speech, recipe.speech, seconds, processes, seed)

    return endless_plans(plan_epoch, recipe.seed, update)


def _hear(trainer: Trainer, held_out: Speech) -> list[Spoken]:
    """The held-out speakers through the head of CTC; empty without either of them."""
    objective = trainer.objective
    if not isinstance(objective, CtcObjective) or not len(held_out):
        return []
    return hear(objective, held_out, trainer.recipe.optimize.batch_seconds)


def _error_rates(trainer: Trainer, held_out: Speech) -> ErrorRates | None:
    """Of greedy transcripts of the held-out speakers as they are; None where there are none."""
    heard = _hear(trainer, held_out)
    return plain_rates(heard) if heard else None


def _finish(out: Path, trainer: Trainer, material: Material, last: dict[str, Any]) -> None:
    """Write the encoder and the result; what only an interrupted run needs goes."""
    heard = _hear(trainer, material.held_out)
    spelling = weigh_spelling(heard) if heard else None
    if isinstance(trainer.objective, CtcObjective):
        trainer.objective.head.penalise_blank(spelling.blank_penalty if spelling else 0.0)
        trainer.objective.save_head(out)
    trainer.encoder.save(out)
    result = {
        "name": trainer.recipe.name,
        "objective": trainer.recipe.objective,
        "updates": trainer.update,
        "speech_seconds": round(material.train.seconds, 1),
        "speakers": len({utterance.speaker for utterance in material.train.utterances}),
        "held_out_speakers": sorted({u.speaker for u in material.held_out.utterances}),
        "left_out": material.left_out,
        "audio_seconds": last["audio_seconds"],
        "seconds": last["seconds"],
        "held_out": None if spelling is None else _described(spelling),
        "last": last,
        "encoder_sha256": trainer.encoder.fingerprint(),
        "processes": trainer.accelerator.num_processes,
        "device": _device(trainer.accelerator),
        "versions": {"mfas": __version__, "torch": torch.__version__},
    }
    write_json(out / RESULT, result)
    (out / CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(out / SNAPSHOT, ignore_errors=True)


def _described(spelling: Spelling) -> dict[str, Any]:
    """cer, wer, utterances, characters of the head that is kept, and how its penalty came about."""
    return dataclasses.asdict(spelling.rates) | dataclasses.asdict(spelling)


@contextmanager
def _main_process_first(accelerator: Accelerator) -> Iterator[None]:
    """The others enter the block when the main process has left it, even if by an exception.

    So they meet the fault themselves, instead of waiting for a process that has gone (accelerate's
    own block leaves them there).
    """
    if not accelerator.is_main_process:
        accelerator.wait_for_everyone()
    try:
        yield
    finally:
        if accelerator.is_main_process:
            accelerator.wait_for_everyone()


@contextmanager
def _own_randomness(accelerator: Accelerator) -> Iterator[None]:
    """Whatever is drawn inside the block, the random numbers outside it stay as they were."""
    device = accelerator.device
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def _device(accelerator: Accelerator) -> str:
    if accelerator.device.type == "cuda":
        return torch.cuda.get_device_name(accelerator.device)
    return platform.processor() or platform.machine()


def _check_folder(out: Path, recipe: PretrainRecipe, resume: bool) -> None:
    """Raise `RunError` unless `out` is free, or (with `resume`) holds a run of this very recipe."""
    if not holds_begun_work(out, resume):
        return
    if not (out / RECIPE).exists():
        raise RunError(f"{out}: holds no run to resume (no {RECIPE}); name another --out")
    if read_pretrain_recipe(out / RECIPE) != recipe:
        raise RunError(f"{out}: was started with another recipe; name another --out")
