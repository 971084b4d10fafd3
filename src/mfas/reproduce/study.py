"""A study of `studies` on one or more corpora: what is missing is run, everything is put together.

Recipes (or manifests, for the recipe best-compact) enter; a folder leaves. The same command goes on
where it was interrupted, and studies in one folder share their runs:

    <recipe>/<model>-<protocol>-s<seed>/   an ordinary run folder, which `mfas verify` and `report` take
    <study>.json .html .png                the table with its sentences, its page, its figure

Nothing in the table is computed but from run folders, so that `check_study` can do it again.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mfas.config import Recipe, read_recipe
from mfas.errors import RecipeError, RunError
from mfas.evaluate import cross_validate, verify_run
from mfas.evaluate.experiment import NO_ENCODER
from mfas.evaluate.replicates import (
    Replicates,
    compare_replicates,
    described,
    other_weights,
    read_replicates,
    score_replicates,
)
from mfas.evaluate.tables import reading_table, table_faults, write_table
from mfas.report import write_study
from mfas.reproduce.studies import (
    AS_IT_IS,
    CANDIDATES,
    MODELS,
    PROTOCOLS,
    STUDIES,
    TEC_ALONE,
    Row,
    Study,
)
from mfas.storage import read_json

FORMAT = 1  # of a study's JSON: counts up when older ones cannot be checked any more
SHARED = ("protocol", "selection", "condition", "honest", "classes", "n_utterances")
SHOWN = (  # of each search
    *("fold", "seed", "method", "strategy", "levels", "operations", "weights", "scores"),
)
Progress = Callable[[str, int, int], None]  # what, done, total


def run_study(
    name: str,
    recipes: Sequence[Recipe],
    seeds: Sequence[int],
    protocols: Sequence[str],
    out: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run what is missing of the study `name`, write its table, page and figure; returns the table.

    Raises `RunError` if a run in `out` has another recipe, and the errors of `cross_validate`.
    """
    study = STUDIES[name]
    _require_one_each([recipe.name for recipe in recipes], "two recipes of the same name")
    _require_one_each(seeds, "a seed twice")
    rows = study.rows(tuple(protocols))
    if not rows:
        has = ", ".join(study.protocols)
        raise RecipeError(f"{name}: not run under {', '.join(protocols)}; --protocols {has}")
    for recipe in recipes:
        _require_fit(recipe, rows)
    jobs = [(recipe, row, seed) for recipe in recipes for row in rows for seed in seeds]
    planned = [row.recipe(recipe, seed) for recipe, row, seed in jobs]  # refused now, or not at all
    for done, ((recipe, row, seed), own) in enumerate(zip(jobs, planned, strict=True)):
        if progress is not None:
            progress(f"{name}: {row.slug}, seed {seed}", done, len(jobs))
        folder = out / _folder(recipe.name, row, seed)
        cross_validate(own, folder, resume=folder.exists(), progress=progress)
    table = _table(study, [recipe.name for recipe in recipes], rows, seeds, out)
    return write_table(out / f"{name}.json", table, lambda: write_study(out, name), _pages(name))


def check_study(
    out: Path, name: str, verify: Callable[[Path], list[str]] = verify_run
) -> list[str]:
    """What does not hold of the study `name` in `out`, one line each: its runs, then its table.

    `verify` is asked about every run; studies that share runs can share its answers. Raises `RunError`
    if its table or a run cannot be read.
    """
    with reading_table(out / f"{name}.json", FORMAT) as recorded:
        corpora = [corpus["name"] for corpus in recorded["corpora"]]
        first = recorded["corpora"][0]["rows"]
        protocols = tuple(row["protocol"] for row in first)
        rows = STUDIES[name].rows(protocols)
        seeds = recorded["seeds"]
        folders = [_folder(c, row, seed) for c in corpora for row in rows for seed in seeds]
        faults = [f"{folder}: {fault}" for folder in folders for fault in verify(out / folder)]
        again = _table(STUDIES[name], corpora, rows, seeds, out)
        return [*faults, *table_faults(out / f"{name}.json", recorded, again, _pages(name))]


def _pages(name: str) -> tuple[str, str]:
    return f"{name}.html", f"{name}.png"


def _folder(corpus: str, row: Row, seed: int) -> str:
    return f"{corpus}/{row.slug}-s{seed}"


def _require_fit(recipe: Recipe, rows: Sequence[Row]) -> None:
    """Raise `RecipeError` for a recipe that cannot be a corpus of the study."""
    if Path(recipe.name).name != recipe.name or recipe.name in (".", ".."):
        raise RecipeError(f"{recipe.name}: names a folder here; choose a --name without slashes")
    if NO_ENCODER in (recipe.sec.encoder, recipe.tec.encoder) and any(
        r.model != AS_IT_IS for r in rows
    ):
        raise RecipeError(f"{recipe.name}: one encoder is none; a study of both needs two")


def _require_one_each(values: Sequence[object], fault: str) -> None:
    if not values:
        raise RecipeError("nothing to run: name at least one recipe or manifest, and one seed")
    twice = [str(value) for value, count in Counter(values).items() if count > 1]
    if twice:
        raise RecipeError(f"{fault}: {', '.join(twice)}; name each once")


def _table(
    study: Study, corpora: Sequence[str], rows: Sequence[Row], seeds: Sequence[int], out: Path
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "study": study.name,
        "title": study.title,
        "seeds": list(seeds),
        "corpora": [_corpus(study, name, rows, seeds, out) for name in corpora],
        "printed": {
            corpus: {row: list(scores) for row, scores in rows.items()}
            for corpus, rows in study.printed.items()
        },
    }


def _corpus(
    study: Study, name: str, rows: Sequence[Row], seeds: Sequence[int], out: Path
) -> dict[str, Any]:
    """The rows of one corpus, and their comparisons."""
    runs: dict[Row, Replicates] = {}
    found = []
    for row in rows:
        folders = [out / _folder(name, row, seed) for seed in seeds]
        runs[row] = read_replicates(folders)
        found.append(_row(row, folders, runs[row]))
    _require_the_same_encoders(out / name, found)
    return {
        "name": name,
        "speakers": len(set(runs[rows[0]].speakers)),
        "rows": found,
        "comparisons": [
            {"first": first.slug, "second": second.slug}
            | described(compare_replicates(runs[first], runs[second]), (first.name, second.name))
            for first, second in study.pairs
            if first in runs and second in runs
        ]
        + _against_average(study, runs),
    }


def _require_own_run(
    row: Row, folder: Path, recipe: Recipe, result: dict[str, Any], first: dict[str, Any]
) -> None:
    """Raise `RunError` unless a run is that of its row and seed, measured as the row's first one."""
    own = recipe.name.endswith(f"-{row.slug}") and folder.name == f"{row.slug}-s{recipe.seed}"
    values = recipe.model_dump(mode="json", exclude_none=True)
    PROTOCOLS[row.protocol].change(values)
    if not own or values["evaluate"] != recipe.model_dump(mode="json")["evaluate"]:
        raise RunError(
            f"{folder}: is not the run of its row and seed; remove it, run the study again"
        )
    for key in (*SHARED, "manifest_sha256"):
        if result[key] != first[key]:
            raise RunError(f"{folder}: has another {key} than the row's first run; run it again")


def _require_the_same_encoders(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Raise `RunError` if runs that were kept had encoders of the same names, but other weights."""
    changed = other_weights(
        ((stream, row["model"] == TEC_ALONE), facts)  # which has TEC's encoder as its SEC
        for row in rows
        for encoders in row["measured"]["encoders"]
        for stream, facts in encoders.items()
    )
    if changed:
        raise RunError(f"{folder}: encoders have changed since it was begun; name another --out")


def _against_average(study: Study, runs: dict[Row, Replicates]) -> list[dict[str, Any]]:
    """The comparison with the mean over all candidates, which is what one picked at random gets."""
    found = []
    for row, own in runs.items():
        if row.model == study.against_average:
            candidates = [runs[Row(model.slug, row.protocol)] for model in CANDIDATES]
            average = replace(
                own, predicted=tuple(said for other in candidates for said in other.predicted)
            )
            names = (row.name, f"the average candidate ({PROTOCOLS[row.protocol].name})")
            compared = described(compare_replicates(own, average), names)
            found.append({"first": row.slug, "second": "average"} | compared)
    return found


def _row(row: Row, folders: Sequence[Path], runs: Replicates) -> dict[str, Any]:
    """What a row's runs say together, and how they were measured; all seeds share that."""
    results = [read_json(folder / "result.json") for folder in folders]
    first = results[0]
    recipes = [read_recipe(folder / "recipe.toml") for folder in folders]
    for folder, recipe, result in zip(folders, recipes, results, strict=True):
        _require_own_run(row, folder, recipe, result, first)
    strategies = [read_json(folder / "strategies.json") for folder in folders]
    return {
        "model": row.model,
        "protocol": row.protocol,
        "name": row.name,
        "printed": MODELS[row.model].printed,
        "measured": {
            **{key: first[key] for key in SHARED},
            "leaks": first["leaks"],  # random folds of other seeds name other examples
            "head": recipes[0].head.kind,
            "encoders": [result["encoders"] for result in results],
        },
        **score_replicates(runs, first["classes"]),
        "strategies": [{key: found[key] for key in SHOWN} for seed in strategies for found in seed],
        "seconds": sum(result["seconds"] for result in results),
    }
