"""Searchers side by side: a recipe enters, every method with every seed is run, the evidence leaves.

    <method>-s<seed>/          an ordinary folder of `mfas search`, each
    darts-lr<value>-s<seed>/   the sweep of alpha's learning rate, whose exponent arXiv 2306.09361 lost
    evidence.json evidence.png report.html   what follows from all of them, at the end

Exhaustive search is the yardstick of all others, so it takes part always; it trains twins there, to
know noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfas.config import Recipe, parse_recipe, read_recipe
from mfas.config.experiment import SUPERNETS
from mfas.errors import RecipeError, RunError
from mfas.evaluate.crossval import search_folds
from mfas.evaluate.experiment import NO_ENCODER
from mfas.evaluate.search_evidence import YARDSTICK, evidence, weigh_methods
from mfas.evaluate.search_noise import noise_floor
from mfas.evaluate.search_picks import by_key
from mfas.evaluate.search_sentences import MEASURE, noise_sentence, sentences, warnings
from mfas.evaluate.tables import reading_table, table_faults, write_table
from mfas.report import write_search_evidence
from mfas.report.reading import read_search_run
from mfas.report.run import Conditions
from mfas.search import SEARCHERS
from mfas.storage import holds_begun_work
from mfas.train import Progress

TABLE, PAGES = "evidence.json", ("report.html", "evidence.png")
FORMAT = 1  # of the table: counts up when older ones cannot be checked any more
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Plan:
    """One search to run. label: what its results stand under; recipe: with method and seed set."""

    label: str
    recipe: Recipe

    @property
    def folder(self) -> str:
        """Its folder, under that of the comparison."""
        return f"{self.label}-s{self.recipe.seed}"


def compare_searches(
    recipe: Recipe,
    out: Path,
    methods: Sequence[str] = (),
    seeds: Sequence[int] = SEEDS,
    alpha_lrs: Sequence[float] = (),
    resume: bool = False,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run every search of the comparison in `out`; returns what evidence.json holds.

    `methods`: all that the recipe's head can do, if none is named. With `resume`, searches that were
    finished in `out` are kept, and methods and seeds can be added. Raises `RecipeError` for a recipe
    that leaves nothing to search or a method it cannot do, `RunError` if `out` holds something else,
    and the errors of `search_folds`.
    """
    plans = plan_searches(recipe, methods, seeds, alpha_lrs)
    _check_folder(out, plans, resume)
    for done, plan in enumerate(plans):
        if progress is not None:
            progress(f"searches: {plan.folder}", done, len(plans))
        search_folds(plan.recipe, out / plan.folder, (out / plan.folder).exists(), cache, progress)
    if progress is not None:
        progress("searches: done", len(plans), len(plans))
    folders = folders_of(plans)
    found, files = gather(out, folders), _files(folders)
    return write_table(out / TABLE, found, lambda: write_search_evidence(out), files)


def check_search_comparison(out: Path) -> list[str]:
    """What does not hold of the evidence in `out`, one line each: does it follow from the searches?

    Raises `RunError` if it or a search cannot be read.
    """
    with reading_table(out / TABLE, FORMAT) as recorded:
        folders = recorded["runs"]
        again, files = gather(out, folders), _files(folders)
        return [*_search_faults(out, folders), *table_faults(out / TABLE, recorded, again, files)]


def _search_faults(out: Path, folders: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Searches that are not what their labels and folders say."""
    for label, own in folders.items():
        for folder in own:
            recipe = read_recipe(out / folder / "recipe.toml")
            labels = (recipe.search.method, _swept(recipe.search.alpha_lr))
            if label not in labels or folder != f"{label}-s{recipe.seed}":
                yield f"{folder}/recipe.toml: is not that of {label} in {folder}"


def _files(folders: Mapping[str, Sequence[str]]) -> list[str]:
    """What the hashes of evidence.json are of: its pages, and the searches, which hold none themselves."""
    made_from = ("strategies.json", "recipe.toml", "folds.json", "utterances.csv")
    return [*PAGES, *(f"{f}/{name}" for own in folders.values() for f in own for name in made_from)]


def plan_searches(
    recipe: Recipe, methods: Sequence[str], seeds: Sequence[int], alpha_lrs: Sequence[float]
) -> list[Plan]:
    """Every search of a comparison, methods before seeds; each recipe is checked."""
    _require_search(recipe)
    if not seeds:
        raise RecipeError("--seeds: none given; name at least one, as --seeds 0 1 2")
    named = tuple(dict.fromkeys(methods)) or default_methods(recipe)
    if YARDSTICK not in named:
        raise RecipeError(
            f"--compare: names no {YARDSTICK}, which every other method is measured by; add it"
        )
    labelled = [(method, ["--search.method", method]) for method in named]
    labelled += [
        (_swept(rate), ["--search.method", "darts", "--search.alpha_lr", repr(rate)])
        for rate in dict.fromkeys(alpha_lrs)
    ]
    values = recipe.model_dump(mode="json", exclude_none=True)
    plans = []
    for label, keys in labelled:
        twins = ["--search.twins", "true"] if label == YARDSTICK else []
        for seed in dict.fromkeys(seeds):
            overrides = [*keys, *twins, "--seed", str(seed)]
            plans.append(Plan(label, parse_recipe(values, overrides, origin=f"--compare {label}")))
    return plans


def _swept(alpha_lr: float) -> str:
    """The label of a rate of the sweep."""
    return f"darts-lr{alpha_lr:g}"


def folders_of(plans: Sequence[Plan]) -> dict[str, list[str]]:
    """The folders of the searches of each label."""
    folders: dict[str, list[str]] = {}
    for plan in plans:
        folders.setdefault(plan.label, []).append(plan.folder)
    return folders


def default_methods(recipe: Recipe) -> tuple[str, ...]:
    """All methods that the recipe's head can do: in closed form, those without a supernet."""
    solved = recipe.head.kind == "ridge"
    return tuple(method for method in SEARCHERS if not (solved and method in SUPERNETS))


def _require_search(recipe: Recipe) -> None:
    if recipe.fusion.strategy != "search":
        raise RecipeError(
            f'--compare: fusion.strategy = "{recipe.fusion.strategy}" leaves nothing to search; '
            'set it to "search"'
        )
    if NO_ENCODER in (recipe.sec.encoder, recipe.tec.encoder):
        raise RecipeError("--compare: with one encoder there is nothing to search; name both")


def _check_folder(out: Path, plans: Sequence[Plan], resume: bool) -> None:
    if not holds_begun_work(out, resume):
        return
    if not any((out / plan.folder).exists() for plan in plans):
        raise RunError(f"{out}: holds no comparison to resume; name another --out")


def gather(out: Path, folders: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What evidence.json holds: conditions, the facts of all searches, and the sentences they are worth.

    folders: by label, of the searches in `out`.
    """
    runs = {
        label: [read_search_run(out / folder) for folder in own] for label, own in folders.items()
    }
    searches = {
        label: [search for run in members for search in run.searches]
        for label, members in runs.items()
    }
    recipes = [read_recipe(out / folder / "recipe.toml") for folder in folders[YARDSTICK]]
    methods, picked = weigh_methods(searches, unseen=recipes[0].head.kind != "ridge")
    exhaustive = by_key(searches[YARDSTICK])
    return {
        "format": FORMAT,
        **_conditions(runs[YARDSTICK][0].result),
        "measure": MEASURE,
        "seeds": sorted({recipe.seed for recipe in recipes}),
        "folds": sorted({search.fold for search in searches[YARDSTICK]}),
        "runs": {label: list(own) for label, own in folders.items()},
        "warnings": warnings(methods),
        "noise_sentence": noise_sentence(noise_floor(exhaustive)),
        "sentences": {method.label: sentences(method) for method in methods},
        **evidence(methods, picked, exhaustive),
    }


def _conditions(found: Conditions) -> dict[str, Any]:
    kept = ("name", "protocol", "condition", "honest", "leaks", "notes", "n_utterances", "classes")
    return {name: getattr(found, name) for name in kept} | {"encoders": asdict(found.encoders)}
