"""Any corpus sorted by hand: one subfolder per class.

`folder/<class>/<speaker>/<file>` names its speakers. In `folder/<class>/<file>` the speaker is the
part of the file name before its first "_" or "-", as in `happy/anna_01.wav`.
"""

import re
from pathlib import Path

from mfas.corpora.adapters.naming import find_audio, listing
from mfas.corpora.manifest import Manifest, Utterance
from mfas.errors import CorpusError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff")
_NAMED_BY_SPEAKER = re.compile(r"([^_-]+)[_-]")


def read_class_folders(folder: Path) -> Manifest:
    """Read a folder with one subfolder per class; audio beside those folders is left out.

    Raises `CorpusError` if no subfolder holds audio, or a file's name does not tell its speaker.
    """
    utterances, skipped = [], []
    for path in find_audio(folder, SUFFIXES):
        inside = path.relative_to(folder)
        if len(inside.parts) == 1:
            skipped.append(f"{inside}: in no class's subfolder")
            continue
        utterances.append(
            Utterance(
                file=inside.as_posix(),
                path=path,
                speaker=_speaker(folder, inside),
                label=inside.parts[0],
            )
        )
    if not utterances:
        raise CorpusError(
            f"{folder}: no audio in class subfolders; looked for <class>/<speaker>_<anything>.wav "
            f"(or {', '.join(SUFFIXES[1:])}), found {listing(folder)}; make one subfolder per class"
        )
    return Manifest(tuple(utterances), skipped=tuple(skipped))


def _speaker(folder: Path, inside: Path) -> str:
    if len(inside.parts) > 2:
        return inside.parts[1]
    match = _NAMED_BY_SPEAKER.match(inside.name)
    if match is None:
        raise CorpusError(
            f"{folder / inside}: its name does not tell the speaker; "
            f"name it <speaker>_{inside.name}, or move it to {inside.parts[0]}/<speaker>/"
        )
    return match[1]
