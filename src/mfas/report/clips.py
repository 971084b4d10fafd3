"""Where the recordings of a run can be heard: utterances enter, addresses for a player leave.

A page links to recordings and never holds them, for they are people's voices and a page may be passed
on. So a clip plays where its file lies, and nowhere else.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from mfas.report.recipe import manifest_of
from mfas.report.run import Run

_PART = re.compile(r"(?P<file>.+)(?P<fragment>#t=[\d.]+(?:,[\d.]+)?)", re.DOTALL)


def clips(run: Run, names: Iterable[str]) -> dict[str, str]:
    """The file:// address of each utterance whose recording is here, by the utterance's name.

    A name is a file relative to the run's manifest or absolute; that of a part of a recording ends in
    a media fragment, which the address keeps. The manifest is looked for from where we stand, as the
    command that started the run did.
    """
    manifest = manifest_of(run)
    if manifest is None or not _is_file(manifest):
        return {}
    folder = manifest.resolve().parent
    found = ((name, _address(folder, name)) for name in names)
    return {name: address for name, address in found if address is not None}


def _address(folder: Path, name: str) -> str | None:
    part = _PART.fullmatch(name)
    for file, fragment in ((name, ""), *([(part["file"], part["fragment"])] if part else [])):
        if _is_file(folder / file):
            return (folder / file).resolve().as_uri() + fragment
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False
