"""The conflict bench as a page, a figure, a table for the terminal, and sentences.

conflict.json enters (`mfas bench conflict`); report.html and conflict.png leave. Whether adjustment by
SEC helps where words and prosody disagree (arXiv 2306.09361, section 5.1) is said by the intervals of
paired differences, whichever way it falls.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table
from rich.text import Text

from mfas.corpora.conflict import CONFLICT, EMOTIONS, KINDS
from mfas.report.figure_page import write_figure_page
from mfas.report.figures import BLUE, GREY, ORANGE
from mfas.storage import read_json

SEC_ONLY, TEC_ONLY, WITHOUT, SEARCHED = "SEC only", "TEC only", "without adjustment", "searched"
STREAMS = (SEC_ONLY, TEC_ONLY)
PLACES = {
    "agree": "where words and prosody agree",
    "conflict": "where they conflict",
    "words neutral": "where the words are neutral",
    "prosody neutral": "where the prosody is neutral",
}


def write_conflict(folder: Path) -> None:
    """Write report.html and conflict.png in `folder` from its conflict.json."""
    table = read_json(folder / "conflict.json")
    write_figure_page(
        folder / "report.html",
        folder / "conflict.png",
        "conflict.html.jinja",
        lambda: draw_conflict(table),
        table=table,
        findings=findings(table),
        columns=columns(table),
        emotions=EMOTIONS,
    )


def columns(table: dict[str, Any]) -> list[str]:
    """What is scored, in order: the kinds of cells, and UA of all."""
    return list(table["conditions"][0]["kinds"])


def findings(table: dict[str, Any]) -> list[str]:
    """What was found, in sentences: the claim, the fixed strategies, each kind, what is heard."""
    searched = _row(table, SEARCHED)
    return [
        _claim(searched["gain"]),
        *_fixed(table),
        *(_gain(searched["gain"][kind], kind) for kind in KINDS),
        *_alone(table),
    ]


def _claim(gain: dict[str, Any]) -> str:
    better = [kind for kind in KINDS if gain[kind]["shown"] and gain[kind]["difference"] > 0]
    worse = [kind for kind in KINDS if gain[kind]["shown"] and gain[kind]["difference"] < 0]
    if CONFLICT not in better:
        said = "is not shown" if CONFLICT not in worse else "does not hold"
        return f"That a searched adjustment helps where words and prosody conflict {said} here."
    where = "there alone" if better == [CONFLICT] else "there, and not there alone"
    return f"A searched adjustment helps where words and prosody conflict: {where}."


def _fixed(table: dict[str, Any]) -> Iterator[str]:
    """How many fixed strategies help where words and prosody conflict, and how many harm."""
    fixed = [row for row in table["conditions"] if row["adjusts"] and row["name"] != SEARCHED]
    if not fixed:
        return
    shown = [row for row in fixed if row["gain"][CONFLICT]["shown"]]
    better = [row["name"] for row in shown if row["gain"][CONFLICT]["difference"] > 0]
    worse = [row["name"] for row in shown if row["gain"][CONFLICT]["difference"] < 0]
    yield (
        f"Of {len(fixed)} fixed strategies, {_counted(better)} better than no adjustment where words "
        f"and prosody conflict, and {_counted(worse)} worse; chance alone shows one in twenty."
    )


def _counted(names: Sequence[str]) -> str:
    listed = f" ({', '.join(names)})" if names else ""
    return f"{len(names)}{listed} {'is' if len(names) == 1 else 'are'}"


def _gain(gain: dict[str, Any], kind: str) -> str:
    low, high = gain["ci95"]
    said = "no difference is shown"
    if gain["shown"]:
        said = "searched is better" if gain["difference"] > 0 else "searched is worse"
    size = f"{100 * gain['difference']:+.1f} points, 95 % interval [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"{PLACES[kind].capitalize()}, {said}: searched minus without adjustment is {size}."


def _alone(table: dict[str, Any]) -> Iterator[str]:
    """What each stream hears of either content: does TEC hear words, does SEC hear prosody?"""
    guessing = f"guessing: {100 / len(table['classes']):.1f} %"
    for known in ("prosody", "words"):
        kinds = _told_by(table, known)
        if kinds:
            where = f"Where the label is told by the {known} alone ({', '.join(kinds)})"
            heard = (f"{name} is right in {_shares(table, name, kinds)}" for name in STREAMS)
            yield f"{where}, {', '.join(heard)} ({guessing})."
    if not any(_told_by(table, known) for known in ("prosody", "words")):
        heard = (f"{name} has UA {_shares(table, name, columns(table)[-1:])}" for name in STREAMS)
        yield f"Neither content alone tells the label: {', '.join(heard)} ({guessing})."


def _shares(table: dict[str, Any], name: str, kinds: Sequence[str]) -> str:
    scores = (_row(table, name)["kinds"][kind]["accuracy"] for kind in kinds)
    return " and ".join(f"{100 * score:.1f} %" for score in scores)


def _told_by(table: dict[str, Any], known: str) -> list[str]:
    """The kinds of cells that a perfect ear for `known` gets right, and one for the other may miss."""
    (other,) = set(table["ideal"]) - {known}
    ideal = table["ideal"]
    return [kind for kind in KINDS if ideal[known][kind] == 1 and ideal[other][kind] < 1]


def _row(table: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in table["conditions"] if row["name"] == name)


def conflict_table(table: dict[str, Any]) -> Table:
    """Accuracy in percent by condition and kind of cell; + and - mark paired differences shown."""
    shown = Table(
        title=Text(f"conflict bench: {table['plan']['rule']}, {table['head']} head", style="bold"),
        caption=Text(
            "accuracy, %; + and - mark what is better and worse than without adjustment (95 %)"
        ),
        caption_justify="left",
    )
    shown.add_column("condition", no_wrap=True)
    for kind in columns(table):
        shown.add_column(kind, justify="right", no_wrap=True)
    for known, shares in table["ideal"].items():
        cells = [f"{100 * shares[kind]:.1f}  " if kind in shares else "" for kind in columns(table)]
        shown.add_row(Text(f"knowing the {known} alone", style="dim"), *cells)
    for row in table["conditions"]:
        cells = [f"{100 * row['kinds'][k]['accuracy']:.1f} {_mark(row, k)}" for k in columns(table)]
        shown.add_row(Text(row["name"]), *map(Text, cells))
    return shown


def _mark(row: dict[str, Any], kind: str) -> str:
    gain = row["gain"] and row["gain"][kind]
    if not gain or not gain["shown"]:
        return " "
    return "+" if gain["difference"] > 0 else "-"


def draw_conflict(table: dict[str, Any]) -> Figure:
    """A panel a kind of cell: accuracy and interval of every condition."""
    rows = table["conditions"]
    figure = Figure(figsize=(11, 1.2 + 0.26 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(KINDS), sharey=True)
    for axes, kind in zip(panels, KINDS, strict=True):
        _draw_kind(axes, rows, kind, 1 / len(table["classes"]))
    panels[0].set_yticks(range(len(rows)), [row["name"] for row in rows], fontsize=8)
    panels[0].invert_yaxis()
    return figure


def _draw_kind(axes: Axes, rows: Sequence[dict[str, Any]], kind: str, chance: float) -> None:
    for place, row in enumerate(rows):
        score = row["kinds"][kind]
        colour = ORANGE if row["adjusts"] else BLUE
        axes.plot([100 * bound for bound in score["ci95"]], [place, place], color=colour, lw=1.5)
        axes.plot(100 * score["accuracy"], place, "o", ms=4, color=colour)
        if row["name"] == WITHOUT:
            axes.axvline(100 * score["accuracy"], color=BLUE, lw=0.8, ls="--")
    axes.axvline(100 * chance, color=GREY, lw=0.8, ls=":")
    axes.set(xlim=(-3, 103), xlabel="accuracy, %")
    axes.set_title(kind, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
