"""A folder remembers what was begun in it, and goes on with nothing else: begun.json.

Recipes in it are compared as they are read, not as text, so that a version that knows more keys goes on.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mfas.errors import RunError
from mfas.storage import read_json, write_json

BEGUN = "begun.json"


def begin(
    out: Path, content: dict[str, Any], is_own: Callable[[dict[str, Any]], bool], what: str, by: str
) -> None:
    """Write `content` into the free folder `out`; nothing, if what was begun there `is_own`.

    what: what it is that is begun, as "bench"; by: what makes it another one, as "plan or recipe".
    Raises `RunError` if something else was begun in `out`, or it holds anything.
    """
    path = out / BEGUN
    if path.exists():
        if not is_own(read_json(path)):
            raise RunError(f"{out}: was begun with another {by}; name another --out")
        return
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out}: is not empty and holds no {what}; name another --out")
    write_json(path, content)
