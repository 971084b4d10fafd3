"""EMO-DB, the Berlin Database of Emotional Speech (Burkhardt et al., Interspeech 2005).

535 German utterances of 10 actors, 7 emotions. Names are `03a01Fa.wav`: speaker, text, emotion
(first letter of the German word), version.
"""

import re
from pathlib import Path

from mfas.corpora.adapters.naming import read_names
from mfas.corpora.manifest import Manifest, Utterance

NAME = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])[a-z]")
GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
LABELS = {
    "W": "anger",  # Wut
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "T": "sadness",  # Trauer
    "N": "neutral",
}
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def read_emodb(folder: Path) -> Manifest:
    """Read EMO-DB from the folder that holds its recordings, or `wav/` with them.

    Raises `CorpusError` if it has none.
    """
    return read_names(folder, "EMO-DB", "03a01Fa.wav", _parse)


def _parse(path: Path, file: str) -> Utterance | str:
    match = NAME.fullmatch(path.stem)
    if match is None or match[1] not in GENDERS or match[2] not in TEXTS:
        return "not an EMO-DB name"
    return Utterance(
        file=file,
        path=path,
        speaker=match[1],
        label=LABELS[match[3]],
        text=TEXTS[match[2]],
        gender=GENDERS[match[1]],
    )
