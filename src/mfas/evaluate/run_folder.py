"""The run folder: what a cross-validation leaves behind, complete enough to be checked by anyone.

recipe.toml utterances.csv folds.json environment.json  before the first fold
folds/<name>/                                           while it runs
predictions.csv strategies.json log.jsonl result.json figures/ report.html    at the end
"""

import json
import platform
import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from mfas.config import Recipe, recipe_to_toml
from mfas.corpora import Fold, Leak, Utterance
from mfas.errors import RunError
from mfas.evaluate.experiment import Experiment
from mfas.evaluate.fold import LOG
from mfas.evaluate.scores import Row, score_rows
from mfas.jobs import default_workers
from mfas.report import write_figures, write_report, write_search_report
from mfas.storage import (
    read_csv,
    read_json,
    sha256_of_file,
    sha256_of_json,
    write_csv,
    write_json,
    write_text,
)

PACKAGES = ("mfas", "torch", "transformers", "accelerate", "librosa", "numpy", "scikit-learn")
HASHED = (
    "recipe.toml",
    "environment.json",
    "folds.json",
    "utterances.csv",
    "predictions.csv",
    "strategies.json",
    "log.jsonl",
)


@dataclass(frozen=True)
class FinishedFolds:
    """Everything that a result is made of; `outcomes` as `run_fold` returns them, in fold order."""

    experiment: Experiment
    folds: tuple[Fold, ...]
    leaks: tuple[Leak, ...]
    honest: bool
    outcomes: list[dict[str, Any]]


def check_run_folder(out: Path, recipe: Recipe, resume: bool) -> None:
    """Raise `RunError` unless `out` is free, or (with `resume`) holds a run of this very recipe."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir():
        raise RunError(f"{out}: is a file; name a folder with --out")
    if not resume:
        raise RunError(f"{out}: is not empty; add --resume to go on, or name another --out")
    recorded = out / "recipe.toml"
    if not recorded.exists():
        raise RunError(f"{out}: holds no run to resume (no recipe.toml); name another --out")
    if recorded.read_text(encoding="utf-8") != recipe_to_toml(recipe):
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
    write_json(out / "environment.json", _environment(recipe))
    write_csv(out / "utterances.csv", list(rows[0]), rows)
    write_json(out / "folds.json", described)
    write_text(out / "recipe.toml", recipe_to_toml(recipe))


def utterance_name(utterance: Utterance) -> str:
    """How a run names an utterance: its file, and its part of it as a media fragment."""
    if utterance.start is None and utterance.end is None:
        return utterance.file
    end = "" if utterance.end is None else f",{utterance.end}"
    return f"{utterance.file}#t={utterance.start or 0}{end}"


def finish_run(out: Path, run: FinishedFolds, seconds: float) -> dict[str, Any]:
    """Write predictions, strategies, log, result, figures and report; returns the result."""
    rows = _rows(run)
    columns = ["fold", "file", "speaker", "label", "predicted"]
    columns += [f"p_{name}" for name in run.experiment.classes]
    write_csv(out / "predictions.csv", columns, [row.to_csv() for row in rows])
    _write_strategies(out, run)
    _write_log(out, run.folds)
    result = _result(out, run, rows, seconds)
    write_json(out / "result.json", result)
    figures = write_figures(out)
    names = [*HASHED, *(f"figures/{figure.name}" for figure in figures)]
    result["files"] = {name: sha256_of_file(out / name) for name in names}
    write_json(out / "result.json", result)
    write_report([out], out / "report.html")
    return result


def finish_search(out: Path, run: FinishedFolds) -> list[dict[str, Any]]:
    """Write strategies, log, conditions (`search.json`) and report of a search alone."""
    experiment, recipe = run.experiment, run.experiment.recipe
    strategies = _write_strategies(out, run)
    _write_log(out, run.folds)
    conditions = {
        "name": recipe.name,
        "protocol": recipe.evaluate.split,
        "selection": recipe.evaluate.selection,
        "honest": run.honest,
        "leaks": _leak_lines(run.leaks),
        "notes": experiment.notes(),
        "n_utterances": len(experiment.manifest),
        "classes": experiment.classes,
        "seeds": [recipe.seed],
        "encoders": {n: f and asdict(f) for n, f in experiment.encoders.items()},
        "peak_rss_mb": _peak_rss_mb(run),
    }
    write_json(out / "search.json", conditions)
    write_search_report(out, out / "report.html")
    return strategies


def _result(out: Path, run: FinishedFolds, rows: Sequence[Row], seconds: float) -> dict[str, Any]:
    recipe = run.experiment.recipe
    folds = read_json(out / "folds.json")
    scores = score_rows(rows, run.experiment.classes, recipe.evaluate.bootstrap, recipe.seed)
    for fold, outcome, described in zip(scores["folds"], run.outcomes, folds, strict=True):
        fold |= {
            "test_speakers": described["test_speakers"],
            "strategy": outcome["strategy"],
            "best_epoch": outcome["best_epoch"],
            "seconds": outcome["seconds"],
        }
    return {
        "name": recipe.name,
        "protocol": recipe.evaluate.split,
        "selection": recipe.evaluate.selection,
        "honest": run.honest,
        "leaks": _leak_lines(run.leaks),
        "notes": run.experiment.notes(),
        **scores,
        "seeds": [recipe.seed],
        "encoders": {n: f and asdict(f) for n, f in run.experiment.encoders.items()},
        "manifest_sha256": sha256_of_file(out / "utterances.csv"),
        "folds_sha256": sha256_of_json(folds),
        "seconds": round(seconds, 1),
        "peak_rss_mb": _peak_rss_mb(run),
        "files": {},
    }


def _leak_lines(leaks: Sequence[Leak]) -> list[str]:
    """One line a kind of leak, with its first example."""
    first: dict[tuple[str, str], str] = {}
    counts: dict[tuple[str, str], int] = {}
    for leak in leaks:
        key = (leak.kind, leak.between)
        first.setdefault(key, leak.detail)
        counts[key] = counts.get(key, 0) + 1
    return [
        f"{kind} ({between}) in {counts[kind, between]} folds: {detail}"
        for (kind, between), detail in first.items()
    ]


def _rows(run: FinishedFolds) -> list[Row]:
    utterances, classes = run.experiment.manifest.utterances, run.experiment.classes
    return [
        Row(
            fold=fold.name,
            file=utterance_name(utterances[index]),
            speaker=utterances[index].speaker,
            label=utterances[index].label,
            probabilities=dict(zip(classes, probabilities, strict=True)),
        )
        for fold, outcome in zip(run.folds, run.outcomes, strict=True)
        for index, probabilities in zip(fold.test, outcome["probabilities"], strict=True)
    ]


def _write_strategies(out: Path, run: FinishedFolds) -> list[dict[str, Any]]:
    seed = run.experiment.recipe.seed
    strategies = [
        {"fold": outcome["fold"], "seed": seed, **outcome["search"]}
        for outcome in run.outcomes
        if outcome["search"] is not None
    ]
    write_json(out / "strategies.json", strategies)
    return strategies


def _write_log(out: Path, folds: Sequence[Fold]) -> None:
    """Join the folds' logs; an epoch that an interrupt made run twice is kept once."""
    lines: dict[tuple[object, ...], str] = {}
    for fold in folds:
        log = out / "folds" / fold.name / LOG
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
            facts = json.loads(line)
            key = (fold.name, facts["stage"], facts.get("candidate"), facts["epoch"])
            lines[key] = line
    write_text(out / "log.jsonl", "".join(f"{line}\n" for line in lines.values()))


def _utterance_rows(experiment: Experiment) -> list[dict[str, Any]]:
    """The manifest as it was used (selected, merged), with a hash of each utterance's audio.

    It holds no absolute path: the same corpus gives the same file on every machine.
    """
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


def _peak_rss_mb(run: FinishedFolds) -> int:
    """An upper bound of the memory in use at once: this process and the largest workers together."""
    recipe = run.experiment.recipe
    workers = recipe.evaluate.workers or default_workers(recipe.train.threads)
    largest = sorted((outcome["peak_rss_mb"] for outcome in run.outcomes), reverse=True)[:workers]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return round(own + sum(largest))


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
