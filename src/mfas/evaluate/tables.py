"""Tables that follow from runs: written with the hashes of their pages, held against the runs again.

A table is a JSON file beside the runs that it is made of, with pages and figures that show it. Whoever
makes one can make it again from the runs alone; what differs then is a fault.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfas.errors import RunError
from mfas.evaluate.verify import TOLERANCE
from mfas.storage import read_json, sha256_of_file, write_json

FORMAT = 1  # of the files: counts up when older ones cannot be checked any more


def write_table(
    path: Path, content: Mapping[str, Any], draw: Callable[[], Iterable[Path]]
) -> dict[str, Any]:
    """Write `content` to `path`, then the pages that `draw` makes from there; returns what `path` holds.

    That is the content, its format, and the hashes of the pages, which lie in the folder of `path`.
    """
    table = {"format": FORMAT, **content}
    write_json(path, table)
    table["files"] = {page.name: sha256_of_file(page) for page in draw()}
    write_json(path, table)
    return dict(read_json(path))


@contextmanager
def reading_table(path: Path) -> Iterator[dict[str, Any]]:
    """What `path` holds. Raises `RunError` if that, or anything read in the block, cannot be read."""
    try:
        table = read_json(path)
        if table.get("format") != FORMAT:
            raise RunError(f"{path}: made by another version; make it again")
        yield table
    except RunError:
        raise
    except OSError as error:
        fault = f"{error.filename}: {error.strerror}"
        raise RunError(f"{path}: cannot be checked ({fault}); make it again") from error
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        fault = " ".join(str(error).split())[:120]
        raise RunError(f"{path}: cannot be checked ({fault}); make it again") from error


def table_faults(path: Path, table: Mapping[str, Any], again: Mapping[str, Any]) -> list[str]:
    """Where the `table` at `path` is not `again`, what its runs give now, one line each; and its pages."""
    changed = [
        f"{name}: is missing, or has changed since it was made (hash differs)"
        for name, recorded in table["files"].items()
        if not (path.parent / name).is_file() or sha256_of_file(path.parent / name) != recorded
    ]
    recorded = {key: value for key, value in table.items() if key not in ("format", "files")}
    return [*changed, *_differences(recorded, json.loads(json.dumps(again)), path.name)]


def _differences(recorded: Any, again: Any, place: str) -> list[str]:
    """Where two tables differ, as paths into them."""
    if isinstance(recorded, dict) and isinstance(again, dict):
        keys = [*again, *(key for key in recorded if key not in again)]
        return [
            line
            for key in keys
            for line in _differences(recorded.get(key), again.get(key), f"{place}: {key}")
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
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
