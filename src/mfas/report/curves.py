"""The training curves of a run, arranged for drawing.

The log's epochs enter; one `Curves` per fold and seed leaves, with search and training on one axis
of epochs, training after search. Epochs that a resumed run logged twice count once, the later one.
Of candidates that were trained standalone, the chosen one is drawn.
"""

import math
from dataclasses import dataclass

from mfas.report.run import Epoch, SearchRun

STAGES = ("search", "train")
Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Line:
    """One quantity of one stage: `points` are (position on the axis, value)."""

    stage: str
    quantity: str
    points: Points


@dataclass(frozen=True)
class Curves:
    """One fold: its lines, how many epochs the axis holds, and where training begins on it."""

    title: str
    losses: tuple[Line, ...]
    scores: tuple[Line, ...]
    length: int
    search_length: int


def curves(run: SearchRun) -> tuple[Curves, ...]:
    """One `Curves` per fold and seed, in the order of the folds, which is that of the log."""
    several_seeds = len({epoch.seed for epoch in run.epochs}) > 1
    chosen = {search.fold: str(search.strategy) for search in run.searches}
    epochs = [
        epoch
        for epoch in run.epochs
        if epoch.stage in STAGES and epoch.candidate in (None, chosen.get(epoch.fold))
    ]
    order = list(dict.fromkeys(epoch.fold for epoch in epochs))
    keys = {(epoch.fold, epoch.seed) for epoch in epochs}
    return tuple(
        _fold_curves(
            f"Fold {fold}, seed {seed}" if several_seeds else f"Fold {fold}",
            [epoch for epoch in epochs if (epoch.fold, epoch.seed) == (fold, seed)],
        )
        for fold, seed in sorted(keys, key=lambda key: (order.index(key[0]), key[1]))
    )


def _fold_curves(title: str, epochs: list[Epoch]) -> Curves:
    search, train = (_in_order(epochs, stage) for stage in STAGES)
    staged = (("search", search, 0), ("train", train, len(search)))
    return Curves(
        title=title,
        losses=tuple(
            _line(stage, quantity, members, offset)
            for stage, members, offset in staged
            for quantity in ("train_loss", "validation_loss")
        ),
        scores=tuple(
            _line(stage, "validation_ua", members, offset) for stage, members, offset in staged
        ),
        length=len(search) + len(train),
        search_length=len(search),
    )


def _in_order(epochs: list[Epoch], stage: str) -> list[Epoch]:
    last = {epoch.epoch: epoch for epoch in epochs if epoch.stage == stage}
    return [last[number] for number in sorted(last)]


def _line(stage: str, quantity: str, epochs: list[Epoch], offset: int) -> Line:
    values = [getattr(epoch, quantity) for epoch in epochs]
    points = tuple(
        (float(offset + i), float(value))
        for i, value in enumerate(values)
        if value is not None and math.isfinite(value)
    )
    return Line(stage, quantity, points)


def loss_ceiling(panels: tuple[Curves, ...]) -> float:
    """A round number above every loss, so that all folds share one axis."""
    highest = max(
        (value for panel in panels for line in panel.losses for _, value in line.points), default=1
    )
    if highest <= 0:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(highest))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return next((s * magnitude for s in steps if s * magnitude >= highest), 10 * magnitude)
