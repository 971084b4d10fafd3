"""How operation weights moved over the epochs of a search, as the coordinates of inline SVG.

Searches enter; one `Trajectory` per search that weighed operations leaves, with a strip for each
level: the operation that ended heaviest stands out from the others. Only operations of one level
compete, so strips are read one by one; they share their vertical axis.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mfas.report.drawing import Stroke, across
from mfas.report.run import Search, Weights

TOP, STRIP, GAP = 16, 38, 18
HEIGHT = TOP + 3 * (STRIP + GAP) + 6


@dataclass(frozen=True)
class Strip:
    """One level: its lines, the heaviest operation's last, between y `top` and `bottom`."""

    level: str
    heaviest: str
    strokes: tuple[Stroke, ...]
    top: int
    bottom: int


@dataclass(frozen=True)
class Trajectory:
    """One search; `ceiling` is the weight at the top of every strip."""

    title: str
    strips: tuple[Strip, ...]
    ceiling: float
    epochs: int


def trajectories(searches: Sequence[Search]) -> tuple[Trajectory, ...]:
    """One `Trajectory` per search that logged at least two epochs of weights."""
    moved = [search for search in searches if len(search.trajectory) > 1]
    weights = (w for search in moved for epoch in search.trajectory for row in epoch for w in row)
    ceiling = math.ceil(10 * max(weights, default=1) - 1e-9) / 10
    return tuple(
        Trajectory(
            title=f"Fold {search.fold}",
            strips=tuple(_strip(search, i, ceiling) for i in range(len(search.levels))),
            ceiling=ceiling,
            epochs=len(search.trajectory),
        )
        for search in moved
    )


def _strip(search: Search, level: int, ceiling: float) -> Strip:
    last = search.trajectory[-1][level]
    heaviest = max(range(len(last)), key=last.__getitem__)
    bottom = TOP + level * (STRIP + GAP) + STRIP
    order = [*(i for i in range(len(last)) if i != heaviest), heaviest]
    return Strip(
        level=search.levels[level],
        heaviest=search.operations[heaviest],
        strokes=tuple(
            Stroke(
                "heaviest" if i == heaviest else "other",
                _points(search.trajectory, level, i, bottom, STRIP / ceiling),
            )
            for i in order
        ),
        top=bottom - STRIP,
        bottom=bottom,
    )


def _points(
    trajectory: tuple[Weights, ...], level: int, operation: int, bottom: float, scale: float
) -> str:
    return " ".join(
        f"{across(epoch, len(trajectory)):g},{bottom - scale * weights[level][operation]:.1f}"
        for epoch, weights in enumerate(trajectory)
    )
