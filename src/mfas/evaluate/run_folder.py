"""The run folder: what a cross-validation leaves behind, complete enough to be checked by anyone.

recipe.toml utterances.csv folds.json environment.json  before the first fold
folds/<number>/                                         while it runs
predictions.csv strategies.json log.jsonl result.json figures/ report.html    at the end
"""

import json
import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfas.corpora import Fold, Leak
from mfas.evaluate.experiment import Experiment
from mfas.evaluate.fold import LOG
from mfas.evaluate.protocol import corpus_sha256, fold_workers, utterance_name
from mfas.evaluate.scores import Row, score_rows
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


def fold_folder(out: Path, number: int) -> Path:
    """Where a fold works. Numbered: its name is a speaker's, who may be called "../x"."""
    return out / "folds" / f"{number:02d}"


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
    strategies = _write_strategies(out, run)
    _write_log(out, run.folds)
    write_json(out / "search.json", _conditions(run))
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
        **_conditions(run),
        **scores,
        "manifest_sha256": corpus_sha256(read_csv(out / "utterances.csv")),
        "folds_sha256": sha256_of_json(folds),
        "seconds": round(max(seconds, _fold_seconds(run)), 1),
        "files": {},
    }


def _conditions(run: FinishedFolds) -> dict[str, Any]:
    """What a reader must know of how a result came about, whatever the result is."""
    recipe, experiment = run.experiment.recipe, run.experiment
    return {
        "name": recipe.name,
        "protocol": recipe.evaluate.split,
        "selection": recipe.evaluate.selection,
        "condition": recipe.evaluate.condition,
        "honest": run.honest,
        "leaks": _leak_lines(run.leaks),
        "notes": experiment.notes(),
        "n_utterances": len(experiment.manifest),
        "classes": list(experiment.classes),
        "seeds": [recipe.seed],
        "encoders": {name: facts and asdict(facts) for name, facts in experiment.encoders.items()},
        "peak_rss_mb": _peak_rss_mb(run),
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
    for number, fold in enumerate(folds):
        log = fold_folder(out, number) / LOG
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
            facts = json.loads(line)
            key = (fold.name, facts["stage"], facts.get("candidate"), facts["epoch"])
            lines[key] = line
    write_text(out / "log.jsonl", "".join(f"{line}\n" for line in lines.values()))


def _fold_seconds(run: FinishedFolds) -> float:
    """Seconds that the folds took, side by side: what a resumed run took at least."""
    total = sum(outcome["seconds"] for outcome in run.outcomes)
    return float(total / fold_workers(run.experiment.recipe))


def _peak_rss_mb(run: FinishedFolds) -> int:
    """An upper bound of the memory in use at once: this process and the largest workers together."""
    workers = fold_workers(run.experiment.recipe)
    largest = sorted((outcome["peak_rss_mb"] for outcome in run.outcomes), reverse=True)[:workers]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return round(own + sum(largest))
