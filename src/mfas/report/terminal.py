"""A run as a table for the command line."""

from pathlib import Path

from rich.table import Table
from rich.text import Text

from mfas.report.reading import read_search_run
from mfas.report.run import Fold, Interval, Run
from mfas.report.scores import FoldSearch, fold_searches
from mfas.report.wording import (
    agreement,
    condition_words,
    encoder_words,
    selection_words,
    split_words,
    stamp,
)


def summary_table(run: Run) -> Table:
    """UA, WA and macro-F1 in percent, 95 % intervals, a row per fold, and the stamp below."""
    result = run.result
    table = Table(
        title=Text(result.name, style="bold"), caption=_caption(run), caption_justify="left"
    )
    table.add_column("fold")
    table.add_column("test speakers", max_width=20, overflow="ellipsis", no_wrap=True)
    for name in ("n", "UA %", "WA %", "F1 %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("strategy", no_wrap=True)
    overall = (result.ua, result.wa, result.macro_f1)
    scores = [Text(f"{100 * score:.1f}", style="bold") for score in overall]
    table.add_row(Text("all", style="bold"), "", str(result.n_utterances), *scores, "")
    intervals = (_interval(result.ua_ci95), _interval(result.wa_ci95))
    table.add_row("95 %", "", "", *intervals, "", "", end_section=True)
    for fold in result.folds:
        table.add_row(*_fold_row(fold))
    return table


def search_table(folder: Path) -> Table:
    """A search alone, a row per fold: inner-validation UA in percent, and the agreement below.

    Raises `RunError` as `read_search_run`.
    """
    run = read_search_run(folder)
    scored = any(search.scores for search in run.searches)
    worth = "\nThe scores are those that chose, so they are optimistic." if scored else ""
    table = Table(
        title=Text(run.result.name, style="bold"),
        caption=Text(agreement(run) + worth),
        caption_justify="left",
    )
    for name in ("fold", "strategy"):
        table.add_column(name, no_wrap=True)
    for name in ("its UA %", "best path %", "mean of paths %", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in fold_searches(run):
        table.add_row(*_search_row(row))
    return table


def _search_row(row: FoldSearch) -> tuple[Text, ...]:
    scores = ("–" if ua is None else f"{100 * ua:.1f}" for ua in (row.ua, row.best_ua, row.mean))
    return tuple(Text(cell) for cell in (row.fold, row.strategy, *scores, f"{row.seconds:.1f}"))


def _fold_row(fold: Fold) -> tuple[Text, ...]:
    cells = (
        fold.fold,
        ", ".join(fold.test_speakers),
        str(fold.n),
        f"{100 * fold.ua:.1f}",
        f"{100 * fold.wa:.1f}",
        "",
        str(fold.strategy or "no adjustment"),
    )
    return tuple(Text(cell) for cell in cells)


def _interval(bounds: Interval) -> str:
    return f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"


def _caption(run: Run) -> Text:
    verdict, encoders = stamp(run), run.result.encoders
    return Text("\n").join(
        [
            Text(str(verdict), style="bold green" if verdict.honest else "bold yellow"),
            Text(f"{split_words(run)} {selection_words(run)} {condition_words(run)}"),
            Text(f"SEC: {encoder_words(encoders.sec)}; TEC: {encoder_words(encoders.tec)}"),
        ]
    )
