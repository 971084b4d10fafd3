"""The evidence for a search as a page and a figure: methods beside exhaustive search, and what alpha did.

evidence.json and the search folders that it names enter (`mfas search --compare`); report.html and
evidence.png leave. Every number is inner-validation UA, and the page says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfas.report import wording
from mfas.report.figure_page import write_figure_page
from mfas.report.figures import BLUE, GREY, ORANGE
from mfas.report.reading import read_search_run
from mfas.report.run import Search, SearchRun
from mfas.report.trajectories import Trajectory, trajectories
from mfas.storage import read_json

DIFFERENCES = {
    "over_mean": "average candidate",
    "over_equal_cost": "random search for the same time",
    "over_zero": "zero",
}
COLOURS = (BLUE, ORANGE, GREY)
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)  # of a share of time, percent
LINES = ("-", "--", ":", "-.")


def write_search_evidence(folder: Path) -> None:
    """Write report.html and evidence.png in `folder` from its evidence.json."""
    found = read_json(folder / "evidence.json")
    runs = {
        label: [read_search_run(folder / name) for name in names]
        for label, names in found["runs"].items()
    }
    first = next(iter(runs.values()))[0]
    write_figure_page(
        folder / "report.html",
        folder / "evidence.png",
        "search_evidence.html.jinja",
        lambda: draw_evidence(found),
        found=found,
        differences=DIFFERENCES,
        weighed=[shown for label, members in runs.items() if (shown := _weighed(label, members))],
        split=wording.split_words(first),
        condition=wording.condition_words(first),
        untrained=wording.untrained_warnings(first),
        encoders={
            "SEC": wording.encoder_words(first.result.encoders.sec),
            "TEC": wording.encoder_words(first.result.encoders.tec),
        },
        environment=first.environment,
        recipe=first.recipe,
    )


@dataclass(frozen=True)
class Weighed:
    """What the supernets of one method recorded: weights of the first seed, mean norms of all searches.

    norms: levels x operations after the last epoch; `first_norms` after the first; None in older runs.
    """

    label: str
    seed: int
    trajectories: tuple[Trajectory, ...]
    levels: tuple[str, ...]
    operations: tuple[str, ...]
    first_norms: list[list[float]] | None
    norms: list[list[float]] | None

    @property
    def largest(self) -> float:
        """The largest mean norm."""
        return max((norm for row in self.norms or () for norm in row), default=1.0) or 1.0


def _weighed(label: str, runs: Sequence[SearchRun]) -> Weighed | None:
    """What there is to draw of a method; None where it trains no supernet."""
    searches = [search for run in runs for search in run.searches]
    recorded = [search for search in searches if search.norms]
    drawn = trajectories(runs[0].searches)
    if not recorded and not drawn:
        return None
    return Weighed(
        label=label,
        seed=searches[0].seed,
        trajectories=drawn,
        levels=searches[0].levels,
        operations=searches[0].operations,
        first_norms=_mean_norms(recorded, 0),
        norms=_mean_norms(recorded, -1),
    )


def _mean_norms(searches: Sequence[Search], epoch: int) -> list[list[float]] | None:
    if not searches:
        return None
    return np.mean([search.norms[epoch] for search in searches], axis=0).tolist()


def draw_evidence(found: dict[str, Any]) -> Figure:
    """Differences with their intervals, regret against cost, and the entropy of alpha's weights."""
    figure = Figure(figsize=(13.5, 1.9 + 0.42 * len(found["methods"]) + 1.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.7, 1.2, 1.1))
    _draw_differences(left, found["methods"])
    _draw_costs(middle, found["methods"])
    _draw_entropies(right, found["methods"])
    figure.suptitle("Search against standalone training (inner-validation UA)", fontsize=11)
    return figure


def _draw_differences(axes: Axes, methods: Sequence[dict[str, Any]]) -> None:
    """A row a method, a mark with its interval for each thing that it is held against."""
    for number, (name, label) in enumerate(DIFFERENCES.items()):
        for row, method in enumerate(methods):
            estimate, y = method["estimates"][name], row + 0.22 * (number - 1)
            interval = estimate["ci95"]
            if interval is not None:
                ends = [100 * interval["low"], 100 * interval["high"]]
                axes.plot(ends, [y, y], color=COLOURS[number], lw=1.6)
            shown = label if row == 0 else "_"
            axes.plot(100 * estimate["mean"], y, "o", ms=5, color=COLOURS[number], label=shown)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(methods)), [method["label"] for method in methods])
    axes.invert_yaxis()
    axes.set_xlabel("standalone UA of the choice minus that of …, points", fontsize=9)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.12), ncols=3, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_costs(axes: Axes, methods: Sequence[dict[str, Any]]) -> None:
    """Regret of each method, and of random search for its time, against the time it took."""
    for method in methods:
        regret, cost = method["estimates"]["regret"], 100 * max(method["cost"], 1e-4)
        equal = method["estimates"]["equal_cost_regret"]["mean"]
        axes.plot(cost, 100 * equal, "x", color=GREY, ms=6)
        axes.plot(cost, 100 * regret["mean"], "o", color=BLUE, ms=5)
        axes.annotate(
            method["label"],
            (cost, 100 * regret["mean"]),
            (4, 4),
            textcoords="offset points",
            fontsize=7,
        )
    costs = [100 * max(method["cost"], 1e-4) for method in methods]
    low, high = min(costs) / 1.6, max(costs) * 2.5
    axes.set(xscale="log", xlim=(low, high))
    ticks = [tick for tick in TICKS if low <= tick <= high]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("time, % of exhaustive search", fontsize=9)
    axes.set_ylabel("behind the best candidate, points", fontsize=9)
    axes.set_title("● method   × random search for its time", fontsize=8, color=GREY)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_entropies(axes: Axes, methods: Sequence[dict[str, Any]]) -> None:
    """Entropy of alpha's weights, epoch by epoch, of the methods that have any."""
    weighed = [method for method in methods if method["entropy"]]
    for number, method in enumerate(weighed):
        epochs = range(1, len(method["entropy"]) + 1)
        colour, line = COLOURS[number % 3], LINES[number // 3 % 4]
        axes.plot(epochs, method["entropy"], line, marker=".", color=colour, label=method["label"])
    axes.set(ylim=(0, 1.05), xlabel="epoch", ylabel="entropy of alpha's weights (1: equal)")
    if weighed:
        axes.legend(fontsize=7, frameon=False, loc="lower left")
    else:
        axes.text(0.5, 0.5, "no method weighed operations", ha="center", transform=axes.transAxes)
    axes.spines[["top", "right"]].set_visible(False)
