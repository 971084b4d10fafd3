"""Training curves become the coordinates of inline SVG, which the page's template draws.

One `Panel` per fold: losses above, inner-validation UA below, on one axis of epochs. Coordinates
are in the units of a WIDTH x HEIGHT view box. The template colours and labels; nothing here is text
from the run except the title, which the template escapes.
"""

from dataclasses import dataclass

from mfas.report.curves import Curves, Line, curves, loss_ceiling
from mfas.report.run import SearchRun

WIDTH, HEIGHT = 240, 190
LEFT, RIGHT = 30, 234
LOSS_TOP, LOSS_BOTTOM = 14, 96
SCORE_TOP, SCORE_BOTTOM = 114, 168


@dataclass(frozen=True)
class Stroke:
    """A polyline: `kind` is the CSS class, `points` the attribute of that name."""

    kind: str
    points: str


@dataclass(frozen=True)
class Panel:
    """One fold's drawing; `divider` is the x between search and training, None without both.

    `scored` says whether a UA was logged; without any, only losses are drawn.
    """

    title: str
    strokes: tuple[Stroke, ...]
    divider: float | None
    scored: bool
    ceiling: float
    epochs: int


def panels(run: SearchRun) -> tuple[Panel, ...]:
    """One panel per fold and seed, all with the same vertical axes."""
    found = curves(run)
    ceiling = loss_ceiling(found)
    return tuple(_panel(fold, ceiling) for fold in found)


def _panel(fold: Curves, ceiling: float) -> Panel:
    losses = (_stroke(fold, line, ceiling, LOSS_TOP, LOSS_BOTTOM) for line in fold.losses)
    scores = (_stroke(fold, line, 1.0, SCORE_TOP, SCORE_BOTTOM) for line in fold.scores)
    scored = any(line.points for line in fold.scores)
    both = 0 < fold.search_length < fold.length
    return Panel(
        title=fold.title,
        strokes=tuple(stroke for stroke in (*losses, *scores) if stroke.points),
        divider=across(fold.search_length - 0.5, fold.length) if both else None,
        scored=scored,
        ceiling=ceiling,
        epochs=fold.length,
    )


def _stroke(fold: Curves, line: Line, ceiling: float, top: float, bottom: float) -> Stroke:
    drawn = [
        f"{across(position, fold.length):g},{bottom - (bottom - top) * value / ceiling:.1f}"
        for position, value in line.points
    ]
    # A lone point is drawn twice: with round caps that is a dot.
    return Stroke(
        line.quantity.replace("_", "-"), " ".join(drawn * 2 if len(drawn) == 1 else drawn)
    )


def across(position: float, length: int) -> float:
    """The x of a position on an axis of `length` epochs."""
    share = position / (length - 1) if length > 1 else 0.5
    return round(LEFT + 4 + (RIGHT - LEFT - 8) * share, 1)
