"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset (Cao et al., 2014).

7,442 English utterances of 91 actors, 6 emotions as acted. Names are `1001_DFA_ANG_XX.wav`: actor,
sentence, emotion, level.
"""

import re
from pathlib import Path

from mfas.corpora.adapters.naming import read_names
from mfas.corpora.manifest import Manifest, Utterance

NAME = re.compile(r"(1\d{3})_([A-Z]{3})_(ANG|DIS|FEA|HAP|NEU|SAD)_(?:XX?|LO|MD|HI)")
LABELS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
TEXTS = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}


def read_cremad(folder: Path) -> Manifest:
    """Read CREMA-D from the folder that holds its recordings, or `AudioWAV/` with them.

    Raises `CorpusError` if it has none.
    """
    return read_names(folder, "CREMA-D", "1001_DFA_ANG_XX.wav", _parse)


def _parse(path: Path, file: str) -> Utterance | str:
    match = NAME.fullmatch(path.stem)
    if match is None or match[2] not in TEXTS:
        return "not a CREMA-D name"
    return Utterance(
        file=file, path=path, speaker=match[1], label=LABELS[match[3]], text=TEXTS[match[2]]
    )
