"""Table 2 as a page and two figures: quantised against continuous targets, beside the paper's numbers.

table2.json enters (`mfas reproduce table2`); report.html, table2.png and curves.png leave. The verdict on the
paper's claim is computed from the scores, either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mfas.report.figure_page import write_figure_page
from mfas.report.figures import BLUE, GREY, ORANGE, plain_style, png
from mfas.storage import read_json, write_bytes

WIDTH, HEIGHT = 240, 90  # of a curve's view box
ALIVE = {
    "quantised": "perplexity",
    "continuous": "target_variance",
}  # what must not fall to nothing
SCORES = {"ua": "UA, %", "mse": "MSE, mean of V, A, D"}


def write_table2(folder: Path) -> None:
    """Write report.html, table2.png and curves.png in `folder` from its table2.json."""
    table = read_json(folder / "table2.json")
    with plain_style():
        write_bytes(folder / "curves.png", png(draw_curves(table)))
    write_figure_page(
        folder / "report.html",
        folder / "table2.png",
        "table2.html.jinja",
        lambda: draw_table2(table),
        table=table,
        verdicts=verdicts(table),
        panels=curves(table),
        view=(WIDTH, HEIGHT),
    )


def verdicts(table: dict[str, Any]) -> list[str]:
    """One sentence a corpus: does continuous knowledge recognise at least as well as quantised?"""
    return [_verdict(name, table["rows"]) for name in table["corpora"]]


def _verdict(corpus: str, rows: Sequence[dict[str, Any]]) -> str:
    quantised = [r["probes"][corpus]["ua"] for r in rows if r["centres"] and not r["failed"]]
    continuous = [r["probes"][corpus]["ua"] for r in rows if not r["centres"] and not r["failed"]]
    if not quantised or not continuous:
        return f"{corpus}: no verdict, since all configurations of one kind failed."
    means = [sum(values) / len(values) for values in (quantised, continuous)]
    holds = "holds" if means[1] >= means[0] else "does not hold"
    return (
        f"{corpus}: the claim that continuous targets do at least as well as quantised ones {holds} "
        f"here: mean UA {100 * means[1]:.1f} % over {len(continuous)} continuous configurations "
        f"(from {100 * min(continuous):.1f} to {100 * max(continuous):.1f}), {100 * means[0]:.1f} % "
        f"over {len(quantised)} quantised ones (from {100 * min(quantised):.1f} to "
        f"{100 * max(quantised):.1f})."
    )


def draw_table2(table: dict[str, Any]) -> Figure:
    """UA, and MSE where a corpus has V, A and D, against centres; continuous targets as a band."""
    wanted = [
        (corpus, score)
        for corpus, facts in table["corpora"].items()
        for score in SCORES
        if score == "ua" or facts["has_vad"]
    ]
    figure = Figure(figsize=(5.2 * len(wanted), 3.8), layout="constrained")
    for column, (corpus, score) in enumerate(wanted, start=1):
        _draw_panel(figure.add_subplot(1, len(wanted), column), table, corpus, score)
    return figure


def _draw_panel(axes: Axes, table: dict[str, Any], corpus: str, score: str) -> None:
    done = [row for row in table["rows"] if not row["failed"]]
    quantised = [(r["centres"], _value(r, corpus, score)) for r in done if r["centres"]]
    continuous = [_value(r, corpus, score) for r in done if not r["centres"]]
    random = next(r for r in table["baselines"] if r["name"].startswith("random"))
    if quantised:
        axes.plot(*zip(*quantised, strict=True), "o-", color=BLUE, label="quantised")
    if continuous:
        axes.axhspan(
            min(continuous), max(continuous), color=ORANGE, alpha=0.3, label="continuous, K1 to K4"
        )
    axes.axhline(_value(random, corpus, score), color=GREY, linestyle=":", label="random weights")
    axes.set_xscale("log")
    axes.set_xlabel("centres, V to the power of G")
    axes.set_ylabel(SCORES[score])
    axes.set_title(corpus)
    axes.legend(frameon=False, fontsize=8)


def draw_curves(table: dict[str, Any]) -> Figure:
    """The log of every configuration: its loss, and on an axis of its own what must stay alive."""
    rows = [row for row in table["rows"] if row["log"]]
    figure = Figure(figsize=(9.6, 2.2 * -(-len(rows) // 3) + 0.2), layout="constrained")
    for place, row in enumerate(rows, start=1):
        axes = figure.add_subplot(-(-len(rows) // 3), 3, place)
        updates = [line["update"] for line in row["log"]]
        axes.plot(updates, [line["loss"] for line in row["log"]], color=BLUE)
        axes.set_title(row["name"], fontsize=9)
        axes.set_ylabel("loss", color=BLUE, fontsize=8)
        axes.tick_params(labelsize=7)
        measure = ALIVE["quantised" if row["centres"] else "continuous"]
        alive = axes.twinx()
        alive.plot(updates, [line[measure] for line in row["log"]], color=ORANGE)
        alive.set_ylim(bottom=0)
        alive.set_ylabel(measure.replace("_", " "), color=ORANGE, fontsize=8)
        alive.tick_params(labelsize=7)
    return figure


def _value(row: dict[str, Any], corpus: str, score: str) -> float:
    probe = row["probes"][corpus]
    return 100 * probe["ua"] if score == "ua" else sum(probe["vad"]["mse"]) / 3


@dataclass(frozen=True)
class Curve:
    """Points of an SVG polyline, and what its axis spans."""

    measure: str
    points: str
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """The log of one configuration."""

    title: str
    updates: int
    curves: tuple[Curve, ...]


def curves(table: dict[str, Any]) -> list[Panel]:
    """The loss of every configuration, and the measure that tells whether it stayed alive."""
    panels = []
    for row in table["rows"]:
        measures = ("loss", ALIVE["quantised" if row["centres"] else "continuous"])
        lines = row["log"]
        drawn = tuple(_curve(lines, measure) for measure in measures if lines)
        panels.append(Panel(row["name"], lines[-1]["update"] if lines else 0, drawn))
    return panels


def _curve(lines: Sequence[dict[str, float]], measure: str) -> Curve:
    values = [line[measure] for line in lines]
    low, high = min(values), max(values)
    last, span = max(1, lines[-1]["update"]), (high - low) or 1.0
    points = (
        f"{WIDTH * line['update'] / last:.1f},{HEIGHT - 4 - (HEIGHT - 8) * (value - low) / span:.1f}"
        for line, value in zip(lines, values, strict=True)
    )
    return Curve(measure.replace("_", " "), " ".join(points), low, high)
