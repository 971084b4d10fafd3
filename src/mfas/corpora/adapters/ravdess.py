"""RAVDESS, emotional speech and song (Livingstone and Russo, PLoS ONE 2018).

1,440 English utterances of 24 actors, 8 emotions; its songs and videos are left out. Names are
`03-01-06-01-02-01-12.wav`: modality, channel, emotion, intensity, statement, repetition, actor.
(Two files of actor 07 hold the same audio.)
"""

import re
from pathlib import Path

from mfas.corpora.adapters.naming import read_names
from mfas.corpora.manifest import Manifest, Utterance

NAME = re.compile(r"(0[123])-(0[12])-(0[1-8])-0[12]-(0[12])-0[12]-(0[1-9]|1\d|2[0-4])")
AUDIO_ONLY, SPEECH = "03", "01"
LABELS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
TEXTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}


def read_ravdess(folder: Path) -> Manifest:
    """Read the speech of RAVDESS from the folder that holds `Actor_01` to `Actor_24`, or flat.

    Raises `CorpusError` if it has none.
    """
    return read_names(folder, "RAVDESS speech", "Actor_12/03-01-06-01-02-01-12.wav", _parse)


def _parse(path: Path, file: str) -> Utterance | str:
    match = NAME.fullmatch(path.stem)
    if match is None:
        return "not a RAVDESS name"
    modality, channel, emotion, statement, actor = match.groups()
    if (modality, channel) != (AUDIO_ONLY, SPEECH):
        return "RAVDESS, but not audio-only speech (03-01)"
    return Utterance(
        file=file,
        path=path,
        speaker=actor,
        label=LABELS[emotion],
        text=TEXTS[statement],
        gender="male" if int(actor) % 2 else "female",
    )
