"""Tables that follow from runs: written with hashes of their pages, held against the runs again.

A table is a JSON file beside the runs that it is made of, with pages and figures that show it. Whoever
makes one can make it again from the runs alone; what differs then is a fault.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfas.errors import MfasError, RunError
from mfas.evaluate.verify import TOLERANCE
from mfas.storage import read_json, sha256_of_file, write_json

_HASHES = "files"  # the key of a table that holds them
_UNREADABLE = (csv.Error, LookupError, TypeError, AttributeError, OSError, ValueError)
_NOTHING = object()


def write_table(
    path: Path, content: Mapping[str, Any], draw: Callable[[], object], files: Sequence[str]
) -> dict[str, Any]:
    """Write `content` to `path`, and what `draw` makes from there; returns what `path` holds then.

    That is the content and the hashes of `files`: the pages, and what the content follows from where
    that is not a run folder, which holds hashes itself. All lie in the folder of `path`, or below.
    """
    write_json(path, content)
    draw()
    write_json(path, {**content, _HASHES: {f: sha256_of_file(path.parent / f) for f in files}})
    return dict(read_json(path))


@contextmanager
def reading_table(path: Path, form: int) -> Iterator[dict[str, Any]]:
    """What `path` holds. Raises `RunError` if that, or anything read in the block, cannot be read.

    What the block itself refuses is raised as it is.

    form: what its key "format" must say.
    """
    try:
        table = read_json(path)
        if table.get("format") != form:
            raise RunError(f"{path}: made by another version; make it again")
        yield table
    except MfasError:
        raise
    except _UNREADABLE as error:
        fault = " ".join(str(error).split()) or type(error).__name__
        raise RunError(f"{path}: cannot be checked ({fault}); make it again") from error


def table_faults(
    path: Path, table: Mapping[str, Any], again: Mapping[str, Any], files: Sequence[str]
) -> list[str]:
    """Where the `table` at `path` is not `again`, what its runs give now, one line each.

    files: as for `write_table`; their hashes are checked too.
    """
    faults = []
    for name in files:
        if name not in table[_HASHES]:
            faults.append(f"{path.name}: holds no hash of {name}")
        elif not (path.parent / name).is_file():
            faults.append(f"{name}: is missing")
        elif sha256_of_file(path.parent / name) != table[_HASHES][name]:
            faults.append(f"{name}: has changed since {path.name} was made (hash differs)")
    recorded = {key: value for key, value in table.items() if key != _HASHES}
    return [*faults, *_differences(recorded, json.loads(json.dumps(again)), path.name)]


def _differences(recorded: Any, again: Any, place: str) -> list[str]:
    """Where two tables differ, as paths into them."""
    if isinstance(recorded, dict) and isinstance(again, dict):
        keys = [*again, *(key for key in recorded if key not in again)]
        return [
            line
            for key in keys
            for line in _differences(
                recorded.get(key, _NOTHING), again.get(key, _NOTHING), f"{place}: {key}"
            )
        ]
    if isinstance(recorded, list) and isinstance(again, list) and len(recorded) == len(again):
        pairs = enumerate(zip(recorded, again, strict=True))
        return [line for i, (a, b) in pairs for line in _differences(a, b, f"{place} {i}")]
    if recorded == again or _nearly(recorded, again):
        return []
    return [f"{place} is {_short(recorded)}, the runs give {_short(again)}"]


def _nearly(recorded: Any, again: Any) -> bool:
    numbers = isinstance(recorded, int | float) and isinstance(again, int | float)
    return numbers and abs(recorded - again) <= TOLERANCE


def _short(value: Any) -> str:
    text = "missing" if value is _NOTHING else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
