"""A study (`mfas reproduce table3 table4 fig3 fig4`, `mfas audit`) as a page and a figure.

<study>.json enters; <study>.html and <study>.png leave. Its rows are recipes run with several seeds, each
with its stamp; its sentences are what paired comparisons say, whichever way they fall; the paper's numbers
stand in a table of their own, since they are of other corpora.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rich.table import Table as RichTable

from mfas.report.figure_page import write_figure_page
from mfas.report.figures import BLUE, GREY, HEAT, ORANGE
from mfas.report.scores import row_shares
from mfas.report.wording import Stamp, protocol_words
from mfas.storage import read_json

Table = dict[str, Any]
BESIDE = 2  # confusion matrices in a line


def write_study(folder: Path, name: str) -> None:
    """Write the page and the figure of the study `name` in `folder` from its JSON."""
    table = read_json(folder / f"{name}.json")
    write_figure_page(
        folder / f"{name}.html",
        folder / f"{name}.png",
        "study.html.jinja",
        lambda: DRAWINGS.get(name, draw_scores)(table),
        table=table,
        sentences=sentences(table),
        stamps=[[stamp_of(row) for row in corpus["rows"]] for corpus in table["corpora"]],
        words=[[_words(row) for row in corpus["rows"]] for corpus in table["corpora"]],
        chosen=[[chosen(row) for row in corpus["rows"]] for corpus in table["corpora"]],
    )


def scores_table(table: Table) -> RichTable:
    """The rows of a study for a terminal."""
    shown = RichTable(title=table["title"])
    for name in ("corpus", "row", "stamp", "UA %", "95 % interval", "WA %", "by seed"):
        shown.add_column(name, overflow="fold")
    for corpus in table["corpora"]:
        for row in corpus["rows"]:
            low, high = (100 * bound for bound in row["ua_ci95"])
            shown.add_row(
                corpus["name"],
                row["name"],
                "honest" if stamp_of(row).honest else "OPTIMISTIC",
                f"{100 * row['ua']:.1f}",
                f"[{low:.1f}, {high:.1f}]",
                f"{100 * row['wa']:.1f}",
                " ".join(f"{100 * seed['ua']:.1f}" for seed in row["by_seed"]),
            )
    return shown


def sentences(table: Table) -> list[str]:
    """What was found, one sentence a comparison, or one about the strategies where none is compared."""
    found = []
    for corpus in table["corpora"]:
        compared = [f"{corpus['name']}: {c['sentence']}." for c in corpus["comparisons"]]
        found += compared or [f"{corpus['name']}: {_agreement(row)}" for row in corpus["rows"]]
    return found


def _agreement(row: Table) -> str:
    picked = Counter(_strategy(found) for found in row["strategies"]).most_common()
    if not picked:
        return "nothing was searched."
    times = sum(count for _, count in picked)
    listed = ", ".join(f"{name} ({count})" for name, count in picked)
    return f"of {times} searches, one a fold and seed, {picked[0][1]} chose the same: {listed}."


def stamp_of(row: Table) -> Stamp:
    """The stamp that goes with a row's numbers."""
    measured = row["measured"]
    adapted = measured["condition"] == "adapted"
    return Stamp(bool(measured["honest"]), tuple(measured["leaks"]), adapted)


def chosen(row: Table) -> str:
    """The strategies that the row's searches chose most often, with how often."""
    picked = Counter(_strategy(found) for found in row["strategies"] if found["method"] != "fixed")
    return ", ".join(f"{name} {count}" for name, count in picked.most_common(3)) or "–"


def _strategy(found: Table) -> str:
    return f"{found['strategy']['level']}:{found['strategy']['operation']}"


def _words(row: Table) -> tuple[str, str, str]:
    measured = row["measured"]
    return protocol_words(
        measured["protocol"],
        measured["selection"],
        measured["condition"],
        solved=measured["head"] == "ridge",
    )


def draw_scores(table: Table) -> Figure:
    """UA of every row with its interval; a small mark for each seed."""
    corpora = table["corpora"]
    rows = sum(len(corpus["rows"]) for corpus in corpora)
    figure = Figure(figsize=(8.6, 1.1 * len(corpora) + 0.36 * rows), layout="constrained")
    ratios = [len(corpus["rows"]) + 1 for corpus in corpora]
    panels = figure.subplots(len(corpora), 1, squeeze=False, height_ratios=ratios)
    for axes, corpus in zip(panels[:, 0], corpora, strict=True):
        _draw_rows(axes, corpus["rows"])
        axes.set_title(corpus["name"], fontsize=10, loc="left")
    panels[-1, 0].set_xlabel("UA, %: mean over seeds, 95 % interval over speakers, single seeds")
    return figure


def _draw_rows(axes: Axes, rows: Sequence[Table]) -> None:
    for place, row in enumerate(rows):
        colour = BLUE if row["measured"]["honest"] else ORANGE
        low, high = (100 * bound for bound in row["ua_ci95"])
        axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.35)
        axes.plot(100 * row["ua"], place, "o", color=colour, markersize=7)
        seeds = [100 * seed["ua"] for seed in row["by_seed"]]
        axes.plot(seeds, [place + 0.28] * len(seeds), "|", color=GREY, markersize=6)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)


def draw_strategies(table: Table) -> Figure:
    """Fig. 3: what each search saw of every path, its choice framed; a panel a corpus and seed."""
    panels = [
        (corpus["name"], seed, [f for f in row["strategies"] if f["seed"] == seed])
        for corpus in table["corpora"]
        for row in corpus["rows"]
        for seed in table["seeds"]
    ]
    widest = max(len(found) for _, _, found in panels)
    size = (1.6 + len(panels) * (0.5 + 0.36 * max(widest, 3)), 5.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False)
    for number, (name, seed, found) in enumerate(panels):
        axes = grid[0, number]
        image = _draw_paths(axes, found, first=number == 0)
        axes.set_title(f"{name}, seed {seed}", fontsize=8)
    weighed = any(f["weights"] for _, _, found in panels for f in found)
    label = "weight of the operation in its level" if weighed else "UA on training speakers, %"
    figure.colorbar(image, ax=grid, label=label, shrink=0.7)
    return figure


def _draw_paths(axes: Axes, found: Sequence[Table], first: bool) -> Any:
    """Weights where a search has them, else inner scores; paths down, folds across."""
    every = [f"{level}:{op}" for level in found[0]["levels"] for op in found[0]["operations"]]
    names = [name for name in every if not all(np.isnan(_seen(search, name)) for search in found)]
    values = np.full((len(names), len(found)), np.nan)
    for column, search in enumerate(found):
        for row, name in enumerate(names):
            values[row, column] = _seen(search, name)
        row = names.index(_strategy(search))
        frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=ORANGE, lw=2)
        axes.add_patch(frame)
    image = axes.imshow(values, cmap=HEAT, aspect="auto")
    axes.set_xticks(range(len(found)), [search["fold"] for search in found], fontsize=7)
    axes.set_yticks(range(len(names)), names if first else [""] * len(names), fontsize=7)
    axes.set_xlabel("fold", fontsize=8)
    return image


def _seen(search: Table, name: str) -> float:
    level, _, operation = name.partition(":")
    if search["weights"]:
        row = search["weights"][search["levels"].index(level)]
        return float(row[search["operations"].index(operation)])
    return 100 * float(search["scores"].get(name, np.nan))


def draw_confusions(table: Table) -> Figure:
    """Fig. 4: confusion matrices side by side, all seeds together; rows are true classes."""
    shown = [(corpus["name"], row) for corpus in table["corpora"] for row in corpus["rows"]]
    lines = -(-len(shown) // BESIDE)
    side = 2.2 + 0.34 * max(len(row["measured"]["classes"]) for _, row in shown)
    figure = Figure(figsize=(BESIDE * side, lines * (side + 0.5)), layout="constrained")
    for place, (corpus, row) in enumerate(shown, start=1):
        _draw_confusion(figure.add_subplot(lines, BESIDE, place), row, corpus)
    return figure


def _draw_confusion(axes: Axes, row: Table, corpus: str) -> None:
    names = row["measured"]["classes"]
    shares = 100 * row_shares(row["confusion"])
    axes.imshow(shares, cmap=HEAT, vmin=0, vmax=100)
    for (i, j), share in np.ndenumerate(shares):
        colour = "white" if share > 55 else "black"
        axes.text(j, i, f"{share:.0f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_title(f"{corpus}\n{row['name']}\nUA {100 * row['ua']:.1f} %", fontsize=7)


DRAWINGS = {"fig3": draw_strategies, "fig4": draw_confusions}
