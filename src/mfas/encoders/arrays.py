"""Arrays in the cache: .npy files, written whole, opened as memory maps, never trusted blindly."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mfas.storage import atomic_path

_log = logging.getLogger(__name__)
# numpy reads a header by ast.literal_eval, which CPython 3.11 can fail at in two threads at once
_HEADER = threading.Lock()


def save_array(path: Path, array: np.ndarray) -> None:
    """Write `array` to `path`, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as content:
        np.save(content, array)


def stored_array(
    path: Path, shape: Sequence[int | None], dtype: type[np.floating[Any]]
) -> np.ndarray | None:
    """A read-only memory map of the array at `path`, or None where it has to be computed.

    `shape` has None where any length will do. A file that is damaged, or of another shape or type,
    is logged and counts as absent.
    """
    try:
        with _HEADER:
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, OSError, EOFError) as error:
        _log.warning("%s: damaged cache file (%s); computing it again", path, error)
        return None
    fits = len(stored.shape) == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, stored.shape, strict=True)
    )
    if not fits or stored.dtype != dtype:
        _log.warning("%s: cache file of another shape; computing it again", path)
        return None
    return stored
