"""IEMOCAP (Busso et al., 2008): 5 sessions of dialogs, each between a woman and a man.

`SessionN/dialog/EmoEvaluation/<dialog>.txt` says, for each utterance, its label by majority and its
mean valence, arousal (there: activation) and dominance, 1 to 5; the audio is
`SessionN/sentences/wav/<dialog>/<utterance>.wav`. MFAS (arXiv 2306.09361, section 2) uses 5,531
utterances: happy with excited, angry, sad, neutral.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mfas.corpora.adapters.naming import find_audio, listing
from mfas.corpora.manifest import Manifest, Utterance
from mfas.errors import CorpusError

SESSIONS = ("Session1", "Session2", "Session3", "Session4", "Session5")
LABELS = {
    "ang": "angry",
    "dis": "disgusted",
    "exc": "excited",
    "fea": "fearful",
    "fru": "frustrated",
    "hap": "happy",
    "neu": "neutral",
    "oth": "other",
    "sad": "sad",
    "sur": "surprised",
}
NO_AGREEMENT = "xxx"
GENDERS = {"F": "female", "M": "male"}
RATED = re.compile(
    r"\[[\d.]+ - [\d.]+\]\t(?P<id>(?P<session>Ses\d\d)\S*_(?P<gender>[FM])\d+)\t(?P<code>\w+)\t"
    r"\[(?P<valence>[\d.]+), (?P<arousal>[\d.]+), (?P<dominance>[\d.]+)\]"
)
SPOKEN = re.compile(r"(Ses\S+) \[[\d.]+-[\d.]+\]: *(.*)")


def read_iemocap(folder: Path) -> Manifest:
    """Read the sessions of IEMOCAP; `folder` is IEMOCAP_full_release or holds it.

    Utterances without agreement on a label (xxx), and sessions that are not there, are listed in
    `skipped`. Raises `CorpusError` if there is no session, a session lacks labels or audio, or a
    label is not IEMOCAP's.
    """
    root = _root(folder)
    utterances: list[Utterance] = []
    skipped = [f"{name}: no such folder" for name in SESSIONS if not (root / name).is_dir()]
    for session in (root / name for name in SESSIONS if (root / name).is_dir()):
        rated = list(_rated(session))
        agreed = [match for match in rated if match["code"] != NO_AGREEMENT]
        skipped += [
            f"{match['id']}: raters did not agree on a label ({NO_AGREEMENT})"
            for match in rated
            if match["code"] == NO_AGREEMENT
        ]
        utterances += _utterances(folder, session, agreed)
    if not utterances:
        raise CorpusError(f"{root}: its EmoEvaluation files rate no utterance; copy them again")
    return Manifest(tuple(utterances), skipped=tuple(skipped))


def _root(folder: Path) -> Path:
    for root in (folder, folder / "IEMOCAP_full_release"):
        if any((root / name).is_dir() for name in SESSIONS):
            return root
    raise CorpusError(
        f"{folder}: not IEMOCAP; looked for {SESSIONS[0]} to {SESSIONS[-1]} in it, "
        f"found {listing(folder)}; name the folder IEMOCAP_full_release"
    )


def _rated(session: Path) -> Iterator[re.Match[str]]:
    """Yield the rating lines of a session; subfolders and ._* are passed over."""
    folder = session / "dialog" / "EmoEvaluation"
    files = [f for f in sorted(folder.glob("*.txt")) if f.is_file() and not f.name.startswith(".")]
    if not files:
        raise CorpusError(
            f"{folder}: no <dialog>.txt with labels; copy {session.name}/dialog from the release"
        )
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            match = RATED.match(line)
            if match is None:
                continue
            if match["code"] not in (*LABELS, NO_AGREEMENT):
                raise CorpusError(
                    f"{file}: {match['id']} has the label {match['code']!r}, not one of IEMOCAP's "
                    f"({', '.join(LABELS)}, {NO_AGREEMENT}); copy the file again"
                )
            yield match


def _utterances(folder: Path, session: Path, agreed: list[re.Match[str]]) -> Iterator[Utterance]:
    audio = {path.stem: path for path in find_audio(session / "sentences" / "wav")}
    texts = _transcripts(session)
    missing = [match["id"] for match in agreed if match["id"] not in audio]
    if missing:
        raise CorpusError(
            f"{session / 'sentences' / 'wav'}: {len(missing)} of {len(agreed)} labelled utterances "
            f"have no .wav or .flac, e.g. <dialog>/{missing[0]}.wav; copy them from the release"
        )
    for match in agreed:
        path = audio[match["id"]]
        yield Utterance(
            file=path.relative_to(folder).as_posix(),
            path=path,
            speaker=match["session"] + match["gender"],
            label=LABELS[match["code"]],
            session=match["session"],
            valence=float(match["valence"]),
            arousal=float(match["arousal"]),
            dominance=float(match["dominance"]),
            text=texts.get(match["id"]),
            gender=GENDERS[match["gender"]],
        )


def _transcripts(session: Path) -> dict[str, str]:
    """What was said, by utterance; empty where the release's transcriptions are not there."""
    texts: dict[str, str] = {}
    for file in sorted((session / "dialog" / "transcriptions").glob("*.txt")):
        if not file.name.startswith("."):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            texts.update((match[1], match[2]) for match in map(SPOKEN.match, lines) if match)
    return texts
