"""The conflict bench: does SEC adjust TEC where words and prosody disagree (arXiv 2306.09361, section 5.1)?

A plan of a synthetic corpus enters (`mfas.corpora.conflict`), with a recipe; conflict.json, a page and
a figure leave. Each condition and seed is an ordinary cross-validation that leaves voices out, so
`mfas verify` works on each; the same command goes on where it was interrupted.

    corpus/                              the wav files and manifest.csv
    runs/<condition>-<seed>/             run folders
    conflict.json report.html conflict.png    everything together, at the end; follows from the runs
"""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfas.config import Recipe, parse_recipe, read_recipe, recipe_to_toml
from mfas.corpora import RULES, ConflictPlan, plan_conflict, synthesize_conflict
from mfas.corpora.conflict import Cell
from mfas.errors import RecipeError, RunError
from mfas.evaluate import cross_validate, verify_run
from mfas.evaluate.experiment import NO_ENCODER
from mfas.evaluate.replicates import other_weights
from mfas.evaluate.tables import reading_table, table_faults, write_table
from mfas.fusion import Strategy, distinct_candidates
from mfas.report import write_conflict
from mfas.report.conflict import SEARCHED, SEC_ONLY, TEC_ONLY, WITHOUT
from mfas.reproduce.begun import BEGUN, begin
from mfas.reproduce.grid import (
    Heard,
    compare_kinds,
    ideal_shares,
    read_heard,
    score_cells,
    score_kinds,
)
from mfas.storage import read_json

TABLE, PAGES = "conflict.json", ("report.html", "conflict.png")
FORMAT = 1  # of the table: counts up when older ones cannot be checked any more
STRATEGIES = tuple(map(str, distinct_candidates()))
Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True)
class Condition:
    """One row of the bench: which streams, and how one adjusts the other. sets: keys of sections."""

    name: str
    slug: str
    sets: dict[str, dict[str, str]]

    def recipe(self, common: Recipe, seed: int) -> Recipe:
        """`common` under this condition."""
        sections = {
            section: getattr(common, section).model_copy(update=values)
            for section, values in self.sets.items()
        }
        name = f"conflict-{self.slug}-{seed}"
        return common.model_copy(update={"name": name, "seed": seed, **sections})


@dataclass(frozen=True)
class Bench:
    """What is to be run, and where."""

    plan: ConflictPlan
    common: Recipe
    conditions: tuple[Condition, ...]
    seeds: tuple[int, ...]
    out: Path


def plan_bench(
    out: Path,
    plan: ConflictPlan,
    seeds: Sequence[int] = (0, 1, 2),
    strategies: Sequence[str] = STRATEGIES,
    overrides: Sequence[str] = (),
) -> Bench:
    """Check everything before any work; raises `RecipeError` or `CorpusError`."""
    manifest = out / "corpus" / "manifest.csv"
    guard = str(plan.own_sentences).lower()
    own = ["--name", "conflict", "--corpus.guard_text", guard]
    common = read_recipe(manifest, [*own, *overrides])
    given = (common.name, common.seed, common.corpus.manifest, common.fusion.strategy)
    if given != ("conflict", 0, manifest, "search"):
        raise RecipeError(
            "bench conflict: name, seed, corpus.manifest and fusion.strategy are the bench's own; "
            "use --out, --seeds and --strategies"
        )
    if NO_ENCODER in (common.sec.encoder, common.tec.encoder):
        raise RecipeError("bench conflict: both encoders are needed; name one in place of none")
    if len(set(seeds)) < len(seeds) or min(seeds, default=-1) < 0:
        raise RecipeError("bench conflict: --seeds must be different numbers from 0 on")
    conditions = make_conditions(strategies)
    plan_conflict(plan)
    return Bench(plan, common, conditions, tuple(seeds), out)


def make_conditions(strategies: Sequence[str]) -> tuple[Condition, ...]:
    """The rows of the bench: either stream alone, both, each strategy, and a searched one."""
    fixed = [str(Strategy.parse(text)) for text in dict.fromkeys(strategies)]
    alone = {"fusion": {"strategy": "none"}}
    return (
        Condition(SEC_ONLY, "sec", {"tec": {"encoder": NO_ENCODER}, **alone}),
        Condition(TEC_ONLY, "tec", {"sec": {"encoder": NO_ENCODER}, **alone}),
        Condition(WITHOUT, "without", alone),
        *(Condition(s, s.replace(":", "-"), {"fusion": {"strategy": s}}) for s in fixed),
        Condition(SEARCHED, SEARCHED, {}),
    )


def bench_conflict(
    bench: Bench, progress: Progress = lambda what, done, total: None
) -> dict[str, Any]:
    """Do what is missing of the bench; returns what conflict.json holds.

    Raises `RunError` if its folder was begun with another plan or recipe, or with encoders of the
    same names but other weights.
    """
    _check_folder(bench)
    manifest = bench.out / "corpus" / "manifest.csv"
    if not manifest.exists():
        progress("conflict: corpus", 0, 1)
        synthesize_conflict(manifest.parent, bench.plan)
    results = _run_all(bench, progress)
    for stream in _changed(results):
        raise RunError(
            f"{bench.out}: the {stream} encoder has changed since it was begun; name another --out"
        )
    table = _table(bench, results)
    return write_table(bench.out / TABLE, table, lambda: write_conflict(bench.out), PAGES)


def check_conflict(out: Path, verify: Callable[[Path], list[str]] = verify_run) -> list[str]:
    """What does not hold of the bench in `out`, one line each: its runs, then its table.

    `verify` is asked about every run. Raises `RunError` if its table or a run cannot be read.
    """
    with reading_table(out / TABLE, FORMAT) as recorded:
        bench = _recorded_bench(out, recorded)
        faults: list[str] = []
        results: dict[str, list[dict[str, Any]]] = {}
        for condition in bench.conditions:
            for seed in bench.seeds:
                folder = _run_folder(bench, condition, seed)
                own = [*verify(folder), *_recipe_faults(bench, condition, seed)]
                faults += [f"{folder.relative_to(out)}: {fault}" for fault in own]
                results.setdefault(condition.name, []).append(read_json(folder / "result.json"))
        faults += [f"runs have different {stream} encoders" for stream in _changed(results)]
        return [*faults, *table_faults(out / TABLE, recorded, _table(bench, results), PAGES)]


def _recorded_bench(out: Path, table: dict[str, Any]) -> Bench:
    """The bench that a table says it is of."""
    common = _read_recipe(table["recipe"], TABLE)
    named = [row["name"] for row in table["conditions"]]
    strategies = [name for name in named if name not in (SEC_ONLY, TEC_ONLY, WITHOUT, SEARCHED)]
    plan = ConflictPlan(**table["plan"])
    return Bench(plan, common, make_conditions(strategies), tuple(table["seeds"]), out)


def _recipe_faults(bench: Bench, condition: Condition, seed: int) -> list[str]:
    found = read_recipe(_run_folder(bench, condition, seed) / "recipe.toml")
    if _anywhere(found) == _anywhere(condition.recipe(bench.common, seed)):
        return []
    return [f"recipe.toml: is not that of {condition.name}, seed {seed}"]


def _run_all(bench: Bench, progress: Progress) -> dict[str, list[dict[str, Any]]]:
    """The results of every condition, one a seed."""
    results: dict[str, list[dict[str, Any]]] = {}
    total = len(bench.conditions) * len(bench.seeds)
    for condition in bench.conditions:
        for seed in bench.seeds:
            done = sum(map(len, results.values()))
            progress(f"conflict: {condition.name}, seed {seed}", done, total)
            recipe, out = condition.recipe(bench.common, seed), _run_folder(bench, condition, seed)
            result = cross_validate(recipe, out, resume=True, progress=progress)
            results.setdefault(condition.name, []).append(result)
    progress("conflict: done", total, total)
    return results


def _run_folder(bench: Bench, condition: Condition, seed: int) -> Path:
    return bench.out / "runs" / f"{condition.slug}-{seed}"


def _table(bench: Bench, results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    clips = plan_conflict(bench.plan)
    cells = {clip.file: clip.cell for clip in clips}
    rule = RULES[bench.plan.rule]
    known = ("prosody", "words")
    return {
        "format": FORMAT,
        "plan": asdict(bench.plan),
        "rule": rule.says,
        "utterances": len(clips),
        "classes": dict(sorted(Counter(clip.label for clip in clips).items())),
        "labels": {f"{cell.words}/{cell.prosody}": rule.label(cell) for cell in cells.values()},
        "seeds": list(bench.seeds),
        "recipe": recipe_to_toml(_anywhere(bench.common)),
        "head": bench.common.head.kind,
        "protocol": _protocol(results),
        "ideal": {name: ideal_shares(bench.plan.rule, name) for name in known},
        "conditions": list(_rows(bench, results, cells)),
    }


def _protocol(results: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """What a reader must know of how all runs were measured."""
    one = results[WITHOUT][0]
    kept = ("protocol", "selection", "condition", "honest", "leaks", "notes", "encoders")
    return {key: one[key] for key in kept}


def _rows(
    bench: Bench, results: dict[str, list[dict[str, Any]]], cells: dict[str, Cell]
) -> Iterator[dict[str, Any]]:
    resamples = bench.common.evaluate.bootstrap
    heard = {condition.name: _heard(bench, condition, cells) for condition in bench.conditions}
    for condition in bench.conditions:
        own = heard[condition.name]
        adjusts = condition.name not in (SEC_ONLY, TEC_ONLY, WITHOUT)
        yield {
            "name": condition.name,
            "adjusts": adjusts,
            "runs": [f"runs/{_run_folder(bench, condition, s).name}" for s in bench.seeds],
            "seconds": round(sum(result["seconds"] for result in results[condition.name]), 1),
            "kinds": score_kinds(own, resamples),
            "cells": score_cells(own, resamples),
            "gain": compare_kinds(own, heard[WITHOUT], resamples) if adjusts else None,
            "chosen": _chosen(results[condition.name]) if condition.name == SEARCHED else None,
        }


def _heard(bench: Bench, condition: Condition, cells: dict[str, Cell]) -> list[Heard]:
    folders = [_run_folder(bench, condition, seed) for seed in bench.seeds]
    return [one for folder in folders for one in read_heard(folder, cells)]


def _chosen(results: list[dict[str, Any]]) -> dict[str, int]:
    """How many folds chose each strategy, the most chosen first."""
    chosen = [fold["strategy"] for result in results for fold in result["folds"]]
    return dict(Counter(f"{s['level']}:{s['operation']}" for s in chosen).most_common())


def _anywhere(recipe: Recipe) -> Recipe:
    """`recipe` without where its corpus lies and how many work on it, which change no number."""
    corpus = recipe.corpus.model_copy(update={"manifest": None})
    return recipe.model_copy(
        update={"corpus": corpus, "evaluate": recipe.evaluate.model_copy(update={"workers": 0})}
    )


def _check_folder(bench: Bench) -> None:
    """Raise `RunError` unless the folder is free or was begun with the same plan and recipe."""
    plan, recipe = asdict(bench.plan), _anywhere(bench.common)

    def is_own(begun: dict[str, Any]) -> bool:
        return begun["plan"] == plan and _read_recipe(begun["recipe"], BEGUN) == recipe

    content = {"plan": plan, "recipe": recipe_to_toml(recipe)}
    begin(bench.out, content, is_own, "bench", "plan or recipe")


def _read_recipe(text: str, origin: str) -> Recipe:
    return parse_recipe(tomllib.loads(text), origin=origin)


def _changed(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The streams whose encoders have the same name in all runs, but not the same weights."""
    placed = (one for runs in results.values() for run in runs for one in run["encoders"].items())
    return [str(stream).upper() for stream in other_weights(placed)]
