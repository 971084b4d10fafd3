"""Corpora whose file names say everything: a folder and a name parser enter, a manifest leaves.

Adapters for such corpora give `parse`; finding files, refusing copies and saying what is wrong with
a folder happens here, once.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from mfas.corpora.manifest import Manifest, Utterance
from mfas.errors import CorpusError

WAV_OR_FLAC = (".wav", ".flac")

Parse = Callable[[Path, str], Utterance | str]


def read_names(folder: Path, corpus: str, example: str, parse: Parse) -> Manifest:
    """Make a manifest of the .wav and .flac files in `folder` and below, by their names.

    `parse(path, file)` gives an utterance, or the reason why that file is left out. Raises
    `CorpusError` if no file fits, or one recording is there twice.
    """
    files = list(find_audio(folder))
    utterances: list[Utterance] = []
    skipped: list[str] = []
    for path in files:
        file = path.relative_to(folder).as_posix()
        parsed = parse(path, file)
        if isinstance(parsed, Utterance):
            utterances.append(parsed)
        else:
            skipped.append(f"{file}: {parsed}")
    if not utterances:
        raise CorpusError(
            f"{folder}: no {corpus} recordings; looked in it and below for .wav or .flac files "
            f"named like {example}, found {_found(files, folder)}; name the folder that holds them"
        )
    _refuse_copies(folder, utterances)
    return Manifest(tuple(utterances), skipped=tuple(skipped))


def find_audio(folder: Path, suffixes: tuple[str, ...] = WAV_OR_FLAC) -> Iterator[Path]:
    """Yield the audio files in `folder` and below, sorted; hidden ones (._*) are passed over."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(suffixes):
                yield Path(parent, name)


def listing(folder: Path) -> str:
    """The first visible entries of a folder, for messages."""
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    if not names:
        return "nothing"
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _found(files: list[Path], folder: Path) -> str:
    if not files:
        return f"no audio but {listing(folder)}"
    return f"{len(files)} audio files such as {files[0].relative_to(folder).as_posix()}"


def _refuse_copies(folder: Path, utterances: list[Utterance]) -> None:
    first: dict[tuple[str, str], Utterance] = {}
    copies = []
    for utterance in utterances:
        stem = utterance.path.stem.removeprefix(f"{utterance.speaker}_")
        if first.setdefault((utterance.speaker, stem), utterance) is not utterance:
            copies.append((utterance, first[utterance.speaker, stem]))
    if copies:
        copy, original = copies[0]
        raise CorpusError(
            f"{folder}: {len(copies)} recordings are there twice, e.g. {original.file} and "
            f"{copy.file}; name the folder that holds one copy"
        )
