"""What the page asks of a run's recipe. Its text enters, single values leave.

A run folder is read whatever version wrote it, so a key that is not there is no fault here.
"""

import tomllib
from pathlib import Path
from typing import Any

from mfas.report.run import SearchRun


def in_closed_form(run: SearchRun) -> bool:
    """Whether the head was solved: then nothing has epochs, and choices leave groups out in turn."""
    return _value(run, "head", "kind") == "ridge"


def manifest_of(run: SearchRun) -> Path | None:
    """The manifest as the recipe names it: relative to where the run was started."""
    named = _value(run, "corpus", "manifest")
    return Path(named) if isinstance(named, str) else None


def _value(run: SearchRun, table: str, key: str) -> Any:
    try:
        section = tomllib.loads(run.recipe).get(table)
    except tomllib.TOMLDecodeError:
        return None
    return section.get(key) if isinstance(section, dict) else None
