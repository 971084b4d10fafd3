"""What a person sees: progress on standard error, tables on standard output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ProgressCallback = Callable[[str, int, int], None]
WIDE = 160  # columns of a table that goes to a file or a pipe


def stdout() -> Console:
    """Standard output, wide where it is not a terminal."""
    console = _console()
    return console if console.is_terminal else _console(width=WIDE)


def stderr() -> Console:
    """Standard error."""
    return _console(stderr=True, soft_wrap=True)


def _console(**choices: Any) -> Console:
    """A console that prints brackets and colons as they are: file names and labels may hold them."""
    return Console(highlight=False, markup=False, emoji=False, **choices)


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """Yield a function (what, done, total) that moves bars; silent where there is no terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = stderr()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int) -> None:
            stage = what.partition(":")[0]
            if stage not in tasks:
                tasks[stage] = bars.add_task(what, total=total)
            bars.update(tasks[stage], description=what, completed=done, total=total)

        yield advance


def predictions_table(rows: list[dict[str, Any]], classes: tuple[str, ...]) -> Table:
    """Predictions of files and segments, probabilities in percent."""
    table = Table()
    table.add_column("file", overflow="fold")
    for name in ("start", "end"):
        table.add_column(name, justify="right")
    table.add_column("emotion")
    for name in classes:
        table.add_column(f"{name} %", justify="right")
    for row in rows:
        if "error" in row:
            table.add_row(row["file"], "", "", "not readable")
            continue
        times = (f"{row['start']:.2f}", f"{row['end']:.2f}")
        shares = (f"{100 * row[f'p_{name}']:.1f}" for name in classes)
        table.add_row(row["file"], *times, row["label"], *shares)
    return table
