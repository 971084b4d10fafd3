"""One file per corpus: its folder, as released, becomes a manifest."""

from collections.abc import Callable
from pathlib import Path

from mfas.corpora.adapters.class_folders import read_class_folders
from mfas.corpora.adapters.cremad import read_cremad
from mfas.corpora.adapters.emodb import read_emodb
from mfas.corpora.adapters.iemocap import read_iemocap
from mfas.corpora.adapters.ravdess import read_ravdess
from mfas.corpora.adapters.savee import read_savee
from mfas.corpora.labels import nearest_hint
from mfas.corpora.manifest import Manifest
from mfas.errors import CorpusError

ADAPTERS: dict[str, Callable[[Path], Manifest]] = {
    "iemocap": read_iemocap,
    "savee": read_savee,
    "emodb": read_emodb,
    "ravdess": read_ravdess,
    "cremad": read_cremad,
    "folder": read_class_folders,
}


def adapt_corpus(name: str, folder: str | Path) -> Manifest:
    """Read the corpus `name` (a key of `ADAPTERS`) from `folder`.

    `file` of each utterance is relative to `folder`. Raises `CorpusError` for an unknown name, a
    folder that is not there, and a layout that is not the corpus's.
    """
    if name not in ADAPTERS:
        raise CorpusError(f"{name}: not a known corpus; {nearest_hint(name, ADAPTERS)}")
    folder = Path(folder).resolve()
    if not folder.is_dir():
        fault = "is a file, not a folder" if folder.exists() else "no such folder"
        raise CorpusError(f"{folder}: {fault}; name the folder that {name} was unpacked to")
    return ADAPTERS[name](folder)


__all__ = ["ADAPTERS", "adapt_corpus"]
