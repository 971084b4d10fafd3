"""Candidates trained standalone: a few at random, or all 19 (the yardstick of every search).

With `search.twins`, exhaustive search also trains concat_fc_r of every level. It is the same function as
concat_fc, so what separates their scores is noise; it never competes, and its time is not counted.

Each candidate is a model with that strategy alone, trained from scratch on the inner-training
utterances and scored on the inner-validation ones. NAS methods are not to be trusted without this
comparison (arXiv 1902.07638, 1902.08142).
"""

import time
from collections.abc import Sequence
from dataclasses import replace

from mfas.fusion import LEVELS, Strategy, distinct_candidates
from mfas.search.problem import SearchProblem, SearchResult
from mfas.storage import read_json, write_json
from mfas.train import Scores, derive_seed, fit, shuffled


def search_random(problem: SearchProblem) -> SearchResult:
    """The best of `search.samples` distinct candidates drawn at random."""
    candidates = distinct_candidates()
    order = shuffled(len(candidates), derive_seed(problem.seed, "candidates"))
    drawn = [candidates[i] for i in order[: problem.settings.samples]]
    return _best_of(problem, drawn, "random")


def search_exhaustive(problem: SearchProblem) -> SearchResult:
    """The best of all 19 distinct candidates; `scores` has the twins too, if they are asked for."""
    found = _best_of(problem, distinct_candidates(), "exhaustive")
    if not problem.settings.twins:
        return found
    twins = [Strategy(level, "concat_fc_r") for level in LEVELS]
    uas = {str(twin): _standalone(problem, twin)[0].ua for twin in twins}
    return replace(found, scores=found.scores | uas)


def _best_of(problem: SearchProblem, candidates: Sequence[Strategy], method: str) -> SearchResult:
    best: tuple[Strategy, Scores] | None = None
    uas: dict[str, float] = {}
    seconds = 0.0
    for candidate in candidates:
        scores, spent = _standalone(problem, candidate)
        uas[str(candidate)] = scores.ua
        seconds += spent
        if best is None or scores.better_than(best[1]):
            best = (candidate, scores)
    assert best is not None, "at least one candidate is tried"
    return SearchResult(strategy=best[0], method=method, scores=uas, seconds=seconds)


def _standalone(problem: SearchProblem, candidate: Strategy) -> tuple[Scores, float]:
    """Scores of one candidate and the seconds they took; remembered in the problem's folder."""
    name = str(candidate).replace(":", "-")
    done = problem.folder / f"{name}.json" if problem.folder else None
    if done is not None and done.exists():
        saved = read_json(done)
        return Scores(**saved["scores"]), saved["seconds"]
    started = time.perf_counter()
    seed = derive_seed(problem.seed, "candidate", candidate)
    result = fit(
        problem.make_model(candidate, seed),
        problem.data,
        problem.train,
        problem.validation,
        problem.training.model_copy(update={"epochs": problem.settings.epochs}),
        seed,
        lambda epoch: problem.log({"candidate": str(candidate), **epoch}),
        problem.folder / f"{name}.safetensors" if problem.folder else None,
        (problem.condition,),
    )
    seconds = time.perf_counter() - started
    if done is not None:
        write_json(done, {"scores": vars(result.best), "seconds": seconds})
    return result.best, seconds
