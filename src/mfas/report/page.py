"""Runs become one HTML page that needs nothing else: no scripts, no fonts, no network.

Run folders enter; one file leaves, with its style and drawings inside. Everything that comes from a
run is escaped by the template engine.
"""

import math
import shlex
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mfas.errors import RunError
from mfas.report import comparison, drawing, scores, trajectories, wording
from mfas.report.clips import clips
from mfas.report.comparison import Pair
from mfas.report.reading import is_search_run, read_run, read_search_run
from mfas.report.recipe import in_closed_form
from mfas.report.run import Run, Search, SearchRun
from mfas.storage import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write_report(folders: Sequence[Path], target: Path, pairs: Sequence[Pair] = ()) -> None:
    """Write the page of one run, or of several side by side, to `target`.

    `pairs` are the answers of paired tests between several. A search alone has its own page. Raises
    `RunError` if a run folder is missing, unfinished or broken, if none is given, or if a search
    alone is to stand beside other runs.
    """
    if not folders:
        raise RunError("report: no run given; name one or more run folders")
    searches = [folder for folder in folders if is_search_run(folder)]
    if searches and len(folders) > 1:
        raise RunError(
            f"{searches[0]}: holds a search alone, which has no test scores to set beside other "
            "runs; report it by itself, or finish it with mfas crossval --resume"
        )
    if searches:
        write_search_report(searches[0], target)
        return
    runs = [read_run(folder) for folder in folders]
    beside = _side_by_side(runs, pairs) if len(runs) > 1 else {}
    _write_page(target, runs=runs, shown=[_shown(run) for run in runs], **beside)


def write_search_report(folder: Path, target: Path) -> None:
    """Write the page of a search alone to `target`; raises `RunError` as `read_search_run`."""
    run = read_search_run(folder)
    _write_page(target, runs=[run], shown=[_shown_search(run)])


def _write_page(target: Path, **content: Any) -> None:
    write_text(Path(target), render_page("report.html.jinja", **content))


def render_page(template: str, **content: Any) -> str:
    """The page that a template of this room makes of `content`."""
    return _templates().get_template(template).render(content)


def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters.update(
        percent=percent, probability=probability, duration=duration, names=names
    )
    environment.globals.update(drawing=drawing, trajectories=trajectories)
    return environment


def _shown(run: Run) -> dict[str, Any]:
    """What the template of a whole run needs besides the run itself."""
    return _conditions(run) | _evidence(run) | _measured(run)


def _shown_search(run: SearchRun) -> dict[str, Any]:
    """What the template of a search alone needs besides the run itself."""
    rows, run_name = scores.fold_searches(run), shlex.quote(run.folder.resolve().name)
    (best, count), *_ = wording.votes(run.searches) or [("no adjustment", 0)]
    return (
        _conditions(run)
        | _evidence(run)
        | {
            "article": "search.html.jinja",
            "selection": wording.SEARCH_SELECTION,
            "size": wording.search_size_words(run),
            "rows": rows,
            "means": {
                name: scores.mean(getattr(row, name) for row in rows)
                for name in ("ua", "best_ua", "mean", "zero")
            },
            "best": best,
            "count": count,
            "seconds": sum(row.seconds for row in rows),
            "command": f"mfas crossval {run_name}/recipe.toml --out {run_name} --resume",
        }
    )


def _side_by_side(runs: Sequence[Run], pairs: Sequence[Pair]) -> dict[str, Any]:
    """What the template of a comparison needs besides the runs."""
    answered = {(pair.first, pair.second): pair for pair in pairs}
    return {
        "faults": wording.comparability(runs),
        "labels": comparison.run_labels(runs),
        "chosen": [comparison.chosen(run) for run in runs],
        "fold_names": list(dict.fromkeys(f.fold for run in runs for f in run.result.folds)),
        "answers": [
            (places, answered.get(places), comparison.incomparable(*(runs[i] for i in places)))
            for places in combinations(range(len(runs)), 2)
        ],
    }


def _conditions(run: SearchRun) -> dict[str, Any]:
    encoders = run.result.encoders
    return {
        "warnings": wording.untrained_warnings(run),
        "split": wording.split_words(run),
        "encoders": {
            "SEC": wording.encoder_words(encoders.sec),
            "TEC": wording.encoder_words(encoders.tec),
        },
    }


def _evidence(run: SearchRun) -> dict[str, Any]:
    """What speaks for the strategies."""
    weighed = [search for search in run.searches if search.weights is not None]
    weights = [weight for search in weighed for row in search.weights or () for weight in row]
    return {
        "agreement": wording.agreement(run),
        "choice": wording.choice_words(run),
        "candidates": scores.candidates(run),
        "noise": scores.noise_sd(run.searches),
        "zero": scores.mean(row.zero for row in scores.fold_searches(run)),
        "searches": weighed,
        "heaviest": max(weights, default=1.0) or 1.0,
        "axis": _axis(run.searches),
        "trajectories": trajectories.trajectories(run.searches),
        "panels": () if in_closed_form(run) else drawing.panels(run),
    }


def _measured(run: Run) -> dict[str, Any]:
    counts = [sum(row) for row in run.result.confusion]
    mistakes = scores.confident_mistakes(run)
    return {
        "article": "run.html.jinja",
        "stamp": wording.stamp(run),
        "selection": wording.selection_words(run),
        "condition": wording.condition_words(run),
        "size": wording.size_words(run),
        "interval": wording.interval_words(run),
        "seconds": run.result.seconds,
        "command": f"mfas verify {shlex.quote(run.folder.resolve().name)}",
        "shares": scores.row_shares(run.result.confusion).tolist(),
        "classes": scores.class_scores(run),
        "majority": max(counts) / max(1, sum(counts)),
        "speakers": scores.speaker_scores(run),
        "spreads": scores.fold_spreads(run),
        "mistakes": mistakes,
        "clips": clips(run, [row.file for row in mistakes]),
    }


def _axis(searches: Sequence[Search]) -> tuple[float, float]:
    """Ends of the axis of candidate scores, on tenths, around every score."""
    found = [score for search in searches for score in search.scores.values()]
    low = math.floor(10 * min(found, default=0) + 1e-9) / 10
    high = math.ceil(10 * max(found, default=1) - 1e-9) / 10
    return low, max(high, low + 0.1)


def percent(share: float | None, digits: int = 1) -> str:
    """0.6842 as "68.4"; nothing to score as an en dash."""
    return "–" if share is None else f"{100 * share:.{digits}f}"


def probability(p: float) -> str:
    """A p-value: "= 0.034", or "< 0.001" below that."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def duration(seconds: float) -> str:
    """Seconds as "48 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def names(values: Sequence[str], limit: int = 4) -> str:
    """A list of names, shortened to its first ones: "03, 08, 09, … (10)"."""
    if len(values) <= limit:
        return ", ".join(values)
    return f"{', '.join(values[: limit - 1])}, … ({len(values)})"
