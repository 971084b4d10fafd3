"""Corpora in the folders, names and numbers of SAVEE and IEMOCAP, for those who do not have them.

    python tools/generate_corpus.py savee FOLDER [--layout flat]
    python tools/generate_corpus.py iemocap FOLDER
    mfas corpus iemocap FOLDER -o iemocap.csv

SAVEE: 480 clips, 4 speakers of 120 each. IEMOCAP: 10,039 clips of 10 speakers in 5 sessions, of which
5,531 are left when happy and excited are merged and frustrated, rare and disputed ones left out; with
the hidden files, the folders of single raters and the transcriptions of the release. Classes are dealt
evenly to the speakers, which those of the release are not.

A clip is a hum, not speech: its pitch, loudness and tremor lean a little towards its emotion, more
towards its speaker, and most towards chance. What a model scores on it says that the way is open, and
nothing about the model. The same arguments write the same files.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SAVEE_SPEAKERS = ("DC", "JE", "JK", "KL")
SAVEE = {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}  # of each speaker
SAVEE_RATE_HZ = 44_100
LAYOUTS = {"folders": "AudioData/{0}/{1}.wav", "flat": "{0}_{1}.wav"}

IEMOCAP = {  # of all ten speakers; xxx: the raters did not agree
    **{"ang": 1103, "hap": 595, "exc": 1041, "neu": 1708, "sad": 1084},
    **{"fru": 1849, "sur": 107, "fea": 40, "dis": 2, "oth": 3, "xxx": 2507},
}
IEMOCAP_RATE_HZ = 16_000
SCENES = (
    *(f"impro{n:02d}" for n in range(1, 9)),
    *(f"script0{n}_{m}" for n in "123" for m in "12"),
)
HIDDEN = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "  # how an AppleDouble file begins

LEANS = {  # semitones, decibel, Hz of tremor: of either corpus's codes
    **dict.fromkeys(("a", "ang"), (2.0, 3.0, 1.5)),
    **dict.fromkeys(("h", "hap", "exc"), (3.0, 2.0, 1.0)),
    **dict.fromkeys(("sa", "sad"), (-2.0, -3.0, -1.5)),
    **dict.fromkeys(("su", "sur"), (4.0, 1.0, 0.5)),
    **dict.fromkeys(("f", "fea"), (1.0, -2.0, 2.5)),
    **dict.fromkeys(("d", "dis", "fru"), (-1.0, 1.0, 0.5)),
}
EVEN = (0.0, 0.0, 0.0)
SPEAKER_SPREAD = np.array([3.0, 1.5, 0.8])
CLIP_SPREAD = np.array([2.5, 2.5, 1.2])
TREMOR_HZ, LOUDNESS, HARMONICS = 4.5, 0.08, 8


@dataclass(frozen=True)
class Speaker:
    """Someone who hums: pitch, and habits in the units of `LEANS`."""

    name: str
    pitch_hz: float
    habit: np.ndarray


def generate_savee(
    folder: Path, layout: str = "folders", seconds: float = 1.0, portion: float = 1.0, seed: int = 0
) -> int:
    """Write a corpus like SAVEE; `portion` of it, at least one clip of each class and speaker."""
    generator = np.random.default_rng(seed)
    shape, written = LAYOUTS[layout], 0
    for name in SAVEE_SPEAKERS:
        speaker = _speaker(name, 120, generator)
        for code, count in _shares(SAVEE, portion).items():
            for number in range(1, count + 1):
                path = folder / shape.format(name, f"{code}{number:02d}")
                _write_hum(path, speaker, code, seconds, SAVEE_RATE_HZ, generator)
                written += 1
    return written


def generate_iemocap(
    folder: Path, seconds: float = 1.0, portion: float = 1.0, seed: int = 0
) -> int:
    """Write a release like IEMOCAP's; `portion` of it, at least one clip of each class."""
    generator = np.random.default_rng(seed)
    codes: dict[str, list[str]] = {f"Ses0{s}{g}": [] for s in range(1, 6) for g in "FM"}
    names = list(codes)
    for code, count in _shares(IEMOCAP, portion).items():
        first = int(generator.integers(len(names)))
        for i in range(count):
            codes[names[(first + i) % len(names)]].append(code)
    for own in codes.values():
        generator.shuffle(own)
    for session in range(1, 6):
        spoken = {gender: codes[f"Ses0{session}{gender}"] for gender in "FM"}
        _write_session(folder / f"Session{session}", session, spoken, seconds, generator)
    return sum(map(len, codes.values()))


def _shares(counts: Mapping[str, int], portion: float) -> dict[str, int]:
    return {code: max(1, round(portion * count)) for code, count in counts.items()}


@dataclass(frozen=True)
class Turn:
    """One utterance of a dialog; start and end are seconds."""

    name: str
    gender: str
    code: str
    start: float
    end: float
    ratings: tuple[float, float, float]  # valence, activation, dominance: 1 to 5


def _write_session(
    folder: Path,
    session: int,
    spoken: Mapping[str, Sequence[str]],
    seconds: float,
    generator: np.random.Generator,
) -> None:
    """Write the dialogs of one session; `spoken` has the codes of each of its two speakers."""
    pitches = {"F": 200, "M": 120}
    speakers = {g: _speaker(g, pitch, generator) for g, pitch in pitches.items()}
    for dialog, parts in _dialogs(session, spoken):
        turns = list(_turns(dialog, parts, generator))
        audio = folder / "sentences" / "wav" / dialog
        for turn in turns:
            path = audio / f"{turn.name}.wav"
            _write_hum(path, speakers[turn.gender], turn.code, seconds, IEMOCAP_RATE_HZ, generator)
            (audio / f"._{turn.name}.wav").write_bytes(HIDDEN)
        _write_labels(folder / "dialog", dialog, turns)


def _dialogs(
    session: int, spoken: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each dialog's name, and its (gender, code) in turn; every code is in one dialog."""
    names = [f"Ses0{session}{letter}_{scene}" for letter in "FM" for scene in SCENES]
    for number, name in enumerate(names):
        parts = [
            (gender, code)
            for gender, codes in spoken.items()
            for code in codes[number :: len(names)]
        ]
        if parts:
            yield name, parts


def _turns(
    dialog: str, parts: Sequence[tuple[str, str]], generator: np.random.Generator
) -> Iterator[Turn]:
    numbers, clock = {"F": 0, "M": 0}, 5.0
    for gender, code in parts:
        end = clock + generator.uniform(1.5, 6.0)
        pitch, loudness, _ = LEANS.get(code, EVEN)
        leans = (0.3 * pitch, 0.3 * loudness, 0.2 * loudness)
        scores = (float(np.clip(round(2 * generator.normal(3 + x, 0.7)) / 2, 1, 5)) for x in leans)
        name = f"{dialog}_{gender}{numbers[gender]:03d}"
        yield Turn(name, gender, code, clock, end, tuple(scores))
        numbers[gender] += 1
        clock = end


def _write_labels(folder: Path, dialog: str, turns: Sequence[Turn]) -> None:
    """Write what raters said and what was spoken, and what must not confuse a reader of it."""
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    single, texts = [], []
    for turn in turns:
        times = f"{turn.start:.4f} - {turn.end:.4f}"
        scores = ", ".join(f"{score:.4f}" for score in turn.ratings)
        lines += [f"[{times}]\t{turn.name}\t{turn.code}\t[{scores}]", "C-E2:\tNeutral;\t()", ""]
        single.append(f"{turn.name} :Neutral; ()")
        texts.append(f"{turn.name} [{turn.start:08.4f}-{turn.end:08.4f}]: (hums)")
    rated = folder / "EmoEvaluation"
    files = {
        rated / f"{dialog}.txt": lines,
        rated / "Categorical" / f"{dialog}_e2_cat.txt": single,
        rated / "Attribute" / f"{dialog}_e2_atr.txt": [f"{t.name} :act 3; :val 3;" for t in turns],
        rated / "Self-evaluation" / f"{dialog}_f_cat.txt": single,
        folder / "transcriptions" / f"{dialog}.txt": texts,
    }
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(content) + "\n", encoding="utf-8")
    (rated / f"._{dialog}.txt").write_bytes(HIDDEN)


def _speaker(name: str, pitch_hz: float, generator: np.random.Generator) -> Speaker:
    return Speaker(name, pitch_hz, generator.normal(0, SPEAKER_SPREAD))


def _write_hum(
    path: Path,
    speaker: Speaker,
    code: str,
    seconds: float,
    rate_hz: int,
    generator: np.random.Generator,
) -> None:
    """Write harmonics that tremble, over a little noise: `seconds` on average, mono, 16 bit."""
    chance = generator.normal(0, CLIP_SPREAD)
    semitones, decibel, tremor_hz = LEANS.get(code, EVEN) + speaker.habit + chance
    count = round(rate_hz * seconds * generator.uniform(0.7, 1.3))
    times = np.arange(count) / rate_hz
    tremor = 1 + 0.4 * np.sin(2 * np.pi * ((TREMOR_HZ + tremor_hz) * times + generator.uniform()))
    cycles = speaker.pitch_hz * 2 ** (semitones / 12) * times
    tone = sum(np.sin(2 * np.pi * k * cycles) / k for k in range(1, HARMONICS + 1))
    samples = LOUDNESS * 10 ** (decibel / 20) * tremor * tone
    samples += 0.003 * generator.normal(size=count)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(samples, -0.99, 0.99), rate_hz, subtype="PCM_16")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", choices=("savee", "iemocap"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layout", choices=LAYOUTS, default="folders", help="of SAVEE")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a clip, on average")
    parser.add_argument("--portion", type=float, default=1.0, help="of the clips, 0 to 1")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if not (0.01 <= options.seconds <= 60 and 0 < options.portion <= 1 and options.seed >= 0):
        sys.exit("generate_corpus: give 0.01 to 60 seconds, a portion up to 1, a seed from 0")
    if options.folder.exists() and (options.folder.is_file() or any(options.folder.iterdir())):
        sys.exit(f"generate_corpus: {options.folder}: is not an empty folder; name another")
    common = (options.seconds, options.portion, options.seed)
    if options.corpus == "savee":
        written = generate_savee(options.folder, options.layout, *common)
    else:
        written = generate_iemocap(options.folder, *common)
    print(f"{options.folder}: {written:,} clips; mfas corpus {options.corpus} makes a manifest")


if __name__ == "__main__":
    main()
