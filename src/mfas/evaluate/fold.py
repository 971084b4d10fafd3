"""One fold: find a strategy on training speakers, train it from scratch, predict the test speakers.

Runs in a worker process. What it had done when it was interrupted lies in the fold's folder
(checkpoints, `search.json` once a strategy is found, `outcome.json` once it is complete), and it
goes on from there to the same result.
"""

import json
import os
import resource
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfas.corpora import Fold
from mfas.evaluate.experiment import Experiment
from mfas.fusion import Strategy
from mfas.search import SearchResult
from mfas.storage import read_json, write_json
from mfas.train import cpu_threads, derive_seed, fit, utterance_log_probabilities
from mfas.train.loop import micro_batch

OUTCOME = "outcome.json"
SEARCH = "search.json"
LOG = "log.jsonl"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class FoldJob:
    """One fold to run. `inner` is where strategies are searched: never the test speakers.

    It differs from `fold` only with selection `paper`, where `fold.validation` is the test fold.
    """

    experiment: Experiment
    fold: Fold
    inner: Fold
    folder: Path
    search_only: bool = False


def run_fold(job: FoldJob) -> dict[str, Any]:
    """Run a fold, or read its outcome if it was completed before.

    The outcome: `fold`, `search` (evidence, see `SearchResult.to_json`, or None), `strategy`,
    `probabilities` (one row a test utterance), `best_epoch`, `seconds`, `peak_rss_mb`.
    """
    done = job.folder / OUTCOME
    if done.exists():
        return read_json(done)
    _assert_disjoint(job)
    with cpu_threads(job.experiment.recipe.train):
        outcome = _outcome(job)
    if not job.search_only:
        write_json(done, outcome)
    shutil.rmtree(job.folder / CHECKPOINTS, ignore_errors=True)
    return outcome


def _outcome(job: FoldJob) -> dict[str, Any]:
    started = time.perf_counter()
    search = _search(job)
    return {
        "fold": job.fold.name,
        "search": search,
        "strategy": search["strategy"] if search else None,
        **({} if job.search_only else _train_and_test(job, search)),
        "seconds": round(time.perf_counter() - started, 1),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def _search(job: FoldJob) -> dict[str, Any] | None:
    """The strategy of this fold with its evidence; None without adjustment."""
    experiment, recipe = job.experiment, job.experiment.recipe
    fixed = experiment.fixed_strategy
    if fixed is not None:
        return SearchResult(fixed, "fixed", scores={}, seconds=0.0).to_json()
    if not experiment.searches:
        return None
    folder = job.folder / CHECKPOINTS / "search"
    finished = job.folder / SEARCH
    if not finished.exists():
        seed = derive_seed(recipe.seed, job.fold.name, "search")
        log = _Log(job, "search")
        found = experiment.search(job.inner.train, job.inner.validation, seed, log, folder)
        write_json(finished, found.to_json())
    return read_json(finished)


def _train_and_test(job: FoldJob, search: dict[str, Any] | None) -> dict[str, Any]:
    experiment, recipe = job.experiment, job.experiment.recipe
    strategy = Strategy(**search["strategy"]) if search else None
    seed = derive_seed(recipe.seed, job.fold.name, "train")
    model = experiment.make_model(strategy, seed)
    parts: tuple[Sequence[int], Sequence[int]] = job.fold.train, job.fold.validation
    if recipe.evaluate.selection == "inner":
        parts = experiment.learns_from(*parts)
    result = fit(
        model,
        experiment.data,
        *parts,
        recipe.train,
        seed,
        _Log(job, "train"),
        job.folder / CHECKPOINTS / "train.safetensors",
        (recipe.evaluate.condition,),
    )
    log_probabilities_UK = utterance_log_probabilities(
        model, experiment.data, job.fold.test, micro_batch(recipe.train)
    )
    return {
        "probabilities": log_probabilities_UK.double().softmax(dim=-1).tolist(),
        "best_epoch": result.best_epoch,
        "validation": asdict(result.best),
    }


def _assert_disjoint(job: FoldJob) -> None:
    """The last word before training: nothing of the test fold trains, or chooses a strategy."""
    test = set(job.fold.test)
    assert not test & set(job.fold.train), "test utterances in training"
    assert not test & (set(job.inner.train) | set(job.inner.validation)), "test in the search"
    if job.experiment.recipe.evaluate.selection == "inner":
        assert not test & set(job.fold.validation), "test utterances in validation"
    if job.experiment.recipe.evaluate.split != "kfold10":
        rows = job.experiment.manifest.utterances
        speakers = {rows[i].speaker for i in job.fold.test}
        learnt = {*job.fold.train, *job.inner.train, *job.inner.validation}
        assert not speakers & {rows[i].speaker for i in learnt}, "shared speakers"


class _Log:
    """Appends one JSON line an epoch to the fold's log."""

    def __init__(self, job: FoldJob, stage: str) -> None:
        self.path = job.folder / LOG
        self.common = {"fold": job.fold.name, "stage": stage}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        _drop_torn_line(self.path)

    def __call__(self, facts: dict[str, Any]) -> None:
        line = {"time": round(time.time(), 1), **self.common, **facts}
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def _drop_torn_line(log: Path) -> None:
    """Cut off what an interrupt or a full disk left of a line that was being written."""
    if log.exists():
        content = log.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(log, whole)
