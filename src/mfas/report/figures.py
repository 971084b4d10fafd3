"""The figures of a run as PNG files, for papers and slides.

A run folder enters; confusion.png (Fig. 4 of arXiv 2306.09361), weights.png (Fig. 3), curves.png
and folds.png are written to its figures/. Equal runs give equal bytes, so the files can be hashed:
no dates, no software names, and matplotlib's own defaults whatever the user's settings.
"""

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mfas.report.curves import Curves, Line, curves, loss_ceiling
from mfas.report.reading import read_run
from mfas.report.run import Run, Search
from mfas.report.scores import row_shares
from mfas.report.wording import stamp
from mfas.storage import write_bytes

DOTS_PER_INCH = 144
HEAT = "Blues"  # one hue: the same order to colour-blind eyes, and in grey
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8a8f98"  # Okabe and Ito
_LINES = {
    "train_loss": (BLUE, "training loss"),
    "validation_loss": (ORANGE, "validation loss"),
    "validation_ua": (BLUE, "validation UA"),
}


def write_figures(folder: Path) -> tuple[Path, ...]:
    """Write the four figures of a run to `folder`/figures; raises `RunError` as `read_run`."""
    run = read_run(folder)
    target = Path(folder) / "figures"
    written = []
    for name, draw in (
        ("confusion.png", draw_confusion),
        ("weights.png", draw_weights),
        ("curves.png", draw_curves),
        ("folds.png", draw_folds),
    ):
        with plain_style():
            write_bytes(target / name, png(draw(run)))
        written.append(target / name)
    return tuple(written)


@contextmanager
def plain_style() -> Iterator[None]:
    """Matplotlib's defaults; a letter that its font lacks is drawn as a box, silently."""
    with style.context("default"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def png(figure: Figure) -> bytes:
    """The figure as a PNG file whose bytes depend on what is drawn alone."""
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _plain(name: str, limit: int = 16) -> str:
    """`name` without meaning to matplotlib ($ starts a formula), and not too long."""
    name = " ".join(name.split())
    return (name if len(name) <= limit else name[: limit - 1] + "…").replace("$", r"\$")


def _title(run: Run, what: str) -> str:
    honest = stamp(run).honest
    return f"{_plain(run.result.name, 40)}: {what}" + ("" if honest else " (optimistic)")


def draw_confusion(run: Run) -> Figure:
    """The confusion matrix: rows are true classes and sum to 100 %."""
    shares, size = row_shares(run.result.confusion), len(run.result.classes)
    names = [_plain(name) for name in run.result.classes]
    side = 2.6 + 0.62 * size
    figure = Figure(figsize=(side + 0.6, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares * 100, cmap=HEAT, vmin=0, vmax=100)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{share * 100:.1f}\n({run.result.confusion[i][j]})"
        colour = "white" if share > 0.55 else "black"
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(size), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), names)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(_title(run, f"UA {run.result.ua * 100:.1f} %"), fontsize=11)
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.8)
    return figure


def draw_weights(run: Run) -> Figure:
    """Operation weights of every search; a frame marks the chosen strategy (Fig. 3)."""
    found = [search for search in run.searches if search.weights is not None]
    if not found:
        return _empty(_title(run, "no operation weights: the strategy was not learnt"))
    columns = min(len(found), 5)
    rows = math.ceil(len(found) / columns)
    figure = Figure(figsize=(2.9 * columns + 0.9, 1.75 * rows + 1.1), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    top = max(max(max(row) for row in search.weights or ()) for search in found)
    for axes in grid.flat[len(found) :]:
        axes.set_axis_off()
    for number, (axes, search) in enumerate(zip(grid.flat, found, strict=False)):
        image = axes.imshow(np.asarray(search.weights), cmap=HEAT, vmin=0, vmax=top, aspect="auto")
        _label_weights(
            axes, search, first=number % columns == 0, last=number + columns >= len(found)
        )
    figure.colorbar(image, ax=grid, label="weight", shrink=0.9)
    figure.suptitle(_title(run, "operation weights by level"), fontsize=11)
    return figure


def _label_weights(axes: Any, search: Search, first: bool, last: bool) -> None:
    levels = search.levels if first else [""] * len(search.levels)
    names = search.operations if last else [""] * len(search.operations)
    axes.set_yticks(range(len(search.levels)), levels)
    axes.set_xticks(range(len(search.operations)), names, rotation=60, ha="right", fontsize=7)
    chosen = search.strategy
    axes.set_title(f"fold {_plain(search.fold)}: {chosen or 'no adjustment'}", fontsize=8)
    if chosen and chosen.level in search.levels and chosen.operation in search.operations:
        x, y = search.operations.index(chosen.operation), search.levels.index(chosen.level)
        corner = (x - 0.5, y - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, lw=2.2, ec=ORANGE, clip_on=False))


def draw_curves(run: Run) -> Figure:
    """Loss and inner-validation UA of every fold; the search is left of the grey line."""
    panels = curves(run)
    if not panels:
        return _empty(_title(run, "no epochs were logged"))
    columns = min(len(panels), 5)
    rows = math.ceil(len(panels) / columns)
    size = (2.5 * columns + 0.6, 2.6 * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False, sharex=False)
    ceiling = loss_ceiling(panels)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        _draw_panel(grid[2 * row, column], panel, panel.losses, ceiling, first=column == 0)
        _draw_panel(grid[2 * row + 1, column], panel, panel.scores, 100, first=column == 0)
        grid[2 * row, column].set_title(_plain(panel.title, 24), fontsize=9)
        grid[2 * row + 1, column].set_xlabel("epochs", fontsize=8)
    grid[0, 0].legend(fontsize=6, frameon=False, loc="upper right")
    figure.suptitle(_title(run, "search (left of a grey line) and training"), fontsize=11)
    return figure


def _draw_panel(
    axes: Any, panel: Curves, lines: tuple[Line, ...], ceiling: float, first: bool
) -> None:
    axes.set_axis_on()
    for line in lines:
        colour, label = _LINES[line.quantity]
        scale = 100 if line.quantity == "validation_ua" else 1
        points = np.asarray(line.points).reshape(-1, 2)
        label = label if line.stage == "train" else "_"
        axes.plot(points[:, 0] + 1, points[:, 1] * scale, ".-", ms=3, lw=1.2, c=colour, label=label)
    if 0 < panel.search_length < panel.length:
        axes.axvline(panel.search_length + 0.5, color=GREY, lw=0.8)
    axes.set(xlim=(0.5, panel.length + 0.5), ylim=(0, ceiling))
    axes.tick_params(labelsize=7, labelleft=first)
    if first:
        axes.set_ylabel("UA, %" if lines is panel.scores else "loss", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_folds(run: Run) -> Figure:
    """UA and WA of every fold, with the run's UA and its 95 % interval behind them."""
    folds, result = run.result.folds, run.result
    positions = np.arange(len(folds))
    figure = Figure(figsize=(max(5.0, 1.8 + 0.5 * len(folds)), 3.6), layout="constrained")
    axes = figure.add_subplot()
    low, high = (100 * bound for bound in result.ua_ci95)
    axes.axhspan(low, high, color=BLUE, alpha=0.12, lw=0, label="UA, 95 % interval")
    axes.axhline(result.ua * 100, color=BLUE, lw=1)
    axes.axhline(100 / len(result.classes), color=GREY, lw=1, ls=":", label="guessing")
    axes.plot(positions - 0.08, [100 * f.ua for f in folds], "o", c=BLUE, label="UA")
    axes.plot(positions + 0.08, [100 * f.wa for f in folds], "D", ms=5, c=ORANGE, label="WA")
    names = [_plain(fold.fold, 10) for fold in folds]
    axes.set_xticks(positions, names, rotation=0 if len(folds) <= 12 else 60)
    axes.set(ylim=(0, 100), xlim=(-0.6, len(folds) - 0.4), xlabel="fold", ylabel="%")
    axes.set_title(_title(run, "scores by fold"), fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(fontsize=8, frameon=False, loc="outside right center")
    return figure


def _empty(message: str) -> Figure:
    figure = Figure(figsize=(6, 1.2))
    figure.text(0.5, 0.5, message, ha="center", va="center", fontsize=10)
    return figure
