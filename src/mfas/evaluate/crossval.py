"""Cross-validation: a recipe enters, a run folder with its result and evidence leaves.

recipe -> utterances, features -> folds -> leakage guard -> one job a fold -> run folder
                                                              (search, train, test)
"""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from mfas.config import Recipe
from mfas.corpora import find_leaks, guard, make_folds
from mfas.evaluate.experiment import prepare_experiment, read_corpus
from mfas.evaluate.fold import FoldJob, run_fold
from mfas.evaluate.protocol import check_run_folder, fold_workers, write_protocol
from mfas.evaluate.run_folder import FinishedFolds, finish_run, finish_search, fold_folder
from mfas.jobs import run_jobs
from mfas.storage import read_json
from mfas.train import Progress


def cross_validate(
    recipe: Recipe,
    out: Path,
    resume: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every fold of `recipe` and write the run folder `out`; returns its `result.json`.

    With `resume`, folds and epochs that were completed in `out` are kept; the result is the one
    of an uninterrupted run. Raises `RunError` if `out` holds another run, `LeakageError` if the
    protocol leaks and the recipe does not allow that, and the errors of reading the corpus.
    """
    if resume and (out / "result.json").exists():
        check_run_folder(out, recipe, resume, search_only=False)
        return read_json(out / "result.json")
    started = time.perf_counter()
    run = _run(recipe, out, resume, cache, progress, search_only=False)
    return finish_run(out, run, time.perf_counter() - started)


def search_folds(
    recipe: Recipe,
    out: Path,
    resume: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """The search of every fold alone; writes `strategies.json` in `out` and returns it."""
    run = _run(recipe, out, resume, cache, progress, search_only=True)
    return finish_search(out, run)


def _run(
    recipe: Recipe,
    out: Path,
    resume: bool,
    cache: Path | None,
    progress: Progress | None,
    search_only: bool,
) -> FinishedFolds:
    check_run_folder(out, recipe, resume, search_only)
    manifest = read_corpus(recipe)
    settings = recipe.evaluate
    protocol = (manifest, settings.split, recipe.seed, settings.inner_fraction)
    folds = make_folds(*protocol, settings.selection)
    inner_folds = make_folds(*protocol, "inner")
    leaks_with = partial(find_leaks, manifest, folds, settings.split)
    unknown = [""] * len(manifest)
    guard(leaks_with(unknown, recipe.corpus.guard_text), settings.allow_optimistic)  # before work
    experiment = prepare_experiment(recipe, manifest, cache, progress)
    experiment.make_model(experiment.fixed_strategy, recipe.seed)  # refused now, or not at all
    leaks = leaks_with(experiment.data.features.audio_hashes, recipe.corpus.guard_text)
    honest = guard(leaks, settings.allow_optimistic)
    write_protocol(out, experiment, folds)
    jobs = [
        FoldJob(experiment, fold, inner, fold_folder(out, number), search_only)
        for number, (fold, inner) in enumerate(zip(folds, inner_folds, strict=True))
    ]
    outcomes = dict(_finished(jobs, recipe, progress))
    ordered = [outcomes[index] for index in range(len(jobs))]
    return FinishedFolds(experiment, folds, leaks, honest, ordered)


def _finished(
    jobs: list[FoldJob], recipe: Recipe, progress: Progress | None
) -> Iterator[tuple[int, dict[str, Any]]]:
    threads, workers = recipe.train.threads, fold_workers(recipe)
    for done, (index, outcome) in enumerate(run_jobs(run_fold, jobs, workers, threads), start=1):
        if progress is not None:
            progress(f"folds: {outcome['fold']} done", done, len(jobs))
        yield index, outcome
