"""SAVEE, Surrey Audio-Visual Expressed Emotion (Haq and Jackson, 2010).

480 British English utterances of 4 men, 7 emotions. Names are `DC_a01.wav` or `DC/a01.wav`:
speaker, emotion, sentence. (A README in circulation says that `a` is happiness. It is anger.)
"""

import re
from pathlib import Path

from mfas.corpora.adapters.naming import read_names
from mfas.corpora.manifest import Manifest, Utterance

NAME = re.compile(r"(?:([A-Z]{2})_)?(sa|su|a|d|f|h|n)\d\d")
SPEAKERS = ("DC", "JE", "JK", "KL")
LABELS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}


def read_savee(folder: Path) -> Manifest:
    """Read SAVEE from the folder that holds its recordings, flat or by speaker, or `AudioData/`.

    Raises `CorpusError` if it has none.
    """
    return read_names(folder, "SAVEE", "DC_a01.wav or DC/a01.wav", _parse)


def _parse(path: Path, file: str) -> Utterance | str:
    match = NAME.fullmatch(path.stem)
    speaker = (match[1] or path.parent.name) if match else ""
    if match is None or speaker not in SPEAKERS:
        return "not a SAVEE name"
    return Utterance(file=file, path=path, speaker=speaker, label=LABELS[match[2]], gender="male")
