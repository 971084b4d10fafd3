"""What is fixed before any result, written first: recipe, utterances, folds, environment.

A run folder with these can be checked by anyone, and resumed only as the run that it is.
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mfas.config import Recipe, read_recipe, recipe_to_toml
from mfas.corpora import Fold, Utterance
from mfas.errors import RunError
from mfas.evaluate.experiment import Experiment
from mfas.jobs import default_workers
from mfas.storage import (
    holds_begun_work,
    read_csv,
    read_json,
    sha256_of_json,
    write_csv,
    write_json,
    write_text,
)

PACKAGES = ("mfas", "torch", "transformers", "accelerate", "librosa", "numpy", "scikit-learn")


def check_run_folder(out: Path, recipe: Recipe, resume: bool, search_only: bool) -> None:
    """Raise `RunError` unless `out` is free, or (with `resume`) holds a run of this very recipe."""
    if not holds_begun_work(out, resume):
        return
    if search_only and (out / "result.json").exists():
        raise RunError(f"{out}: holds a finished cross-validation, its search too; see its report")
    recorded = out / "recipe.toml"
    if not recorded.exists():
        raise RunError(f"{out}: holds no run to resume (no recipe.toml); name another --out")
    if _what_counts(read_recipe(recorded)) != _what_counts(recipe):
        raise RunError(f"{out}: was started with another recipe; name another --out")


def write_protocol(out: Path, experiment: Experiment, folds: Sequence[Fold]) -> None:
    """Write what is fixed before any result: recipe, utterances, folds and environment."""
    recipe = experiment.recipe
    names = [utterance_name(utterance) for utterance in experiment.manifest]
    described = [
        {
            "fold": fold.name,
            "train": [names[i] for i in fold.train],
            "validation": [names[i] for i in fold.validation],
            "test": [names[i] for i in fold.test],
            "test_speakers": _speakers(experiment, fold.test),
            "train_speakers": _speakers(experiment, fold.train),
            "validation_speakers": _speakers(experiment, fold.validation),
        }
        for fold in folds
    ]
    rows = _utterance_rows(experiment)
    earlier, recorded = out / "folds.json", out / "utterances.csv"
    if (earlier.exists() and read_json(earlier) != described) or (
        recorded.exists() and read_csv(recorded) != [_as_text(row) for row in rows]
    ):
        raise RunError(f"{out}: the manifest has changed since it was started; name another --out")
    write_text(out / "recipe.toml", recipe_to_toml(recipe))  # first: what makes it resumable
    if not (out / "environment.json").exists():
        write_json(out / "environment.json", _environment(recipe))
    write_csv(out / "utterances.csv", list(rows[0]), rows)
    write_json(out / "folds.json", described)


def _what_counts(recipe: Recipe) -> Recipe:
    """The recipe without what changes no result, so that a run can go on with fewer workers."""
    return recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"workers": 0})})


def fold_workers(recipe: Recipe) -> int:
    """Folds at once: what the recipe says, or one a core; one alone on a GPU or with fine-tuning."""
    if recipe.evaluate.workers:
        return recipe.evaluate.workers
    heavy = recipe.sec.finetune or recipe.tec.finetune
    if heavy or (recipe.train.device == "auto" and torch.cuda.is_available()):
        return 1
    return default_workers(recipe.train.threads)


def corpus_sha256(rows: Sequence[Mapping[str, str]]) -> str:
    """Hash of what was evaluated on: each utterance's audio, speaker, session and label.

    `rows` as utterances.csv holds them. File names do not count, so the same corpus and selection
    give the same hash on every machine.
    """
    kept = ("audio_sha256", "speaker", "session", "label")
    return sha256_of_json(sorted([row[name] for name in kept] for row in rows))


def utterance_name(utterance: Utterance) -> str:
    """How a run names an utterance: its file, and its part of it as a media fragment."""
    if utterance.start is None and utterance.end is None:
        return utterance.file
    end = "" if utterance.end is None else f",{utterance.end}"
    return f"{utterance.file}#t={utterance.start or 0}{end}"


def _utterance_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """The manifest as it was used (selected, merged), with a hash of each utterance's audio."""
    kept = [field.name for field in fields(Utterance) if field.name != "path"]
    return [
        {
            "name": utterance_name(utterance),
            **{name: getattr(utterance, name) for name in kept},
            "audio_sha256": audio_hash,
        }
        for utterance, audio_hash in zip(
            experiment.manifest, experiment.data.features.audio_hashes, strict=True
        )
    ]


def _as_text(row: dict[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in row.items()}


def _speakers(experiment: Experiment, indices: Sequence[int]) -> list[str]:
    return sorted({experiment.manifest.utterances[i].speaker for i in indices})


def _environment(recipe: Recipe) -> dict[str, Any]:
    use_gpu = torch.cuda.is_available() and recipe.train.device == "auto"
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": default_workers(),
        "device": torch.cuda.get_device_name() if use_gpu else "cpu",
        **{package: version(package) for package in PACKAGES},
    }


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
