"""Words and prosody in controlled conflict: every voice says every sentence in every tone.

A plan enters; wav files with a manifest leave, and the cell of the grid of each file is known. MFAS
(arXiv 2306.09361, section 5.1) holds that how something is said should adjust what is said where the
two disagree. No corpus of people has equally many utterances of every pairing, so this one is
synthetic (`mfas.corpora.synthetic`): formant synthesis, a test of the machinery and no evidence about people.

The grid is (emotion of the words) x (emotion of the prosody). Each sentence is spoken in all prosodies
by the same voice, so words say nothing about prosody and every cell has equally many utterances. The
label of a cell follows a stated rule (choice), see `RULES`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mfas.corpora.manifest import Manifest, Utterance
from mfas.corpora.manifest_csv import read_manifest, write_manifest
from mfas.corpora.prosody import PROSODIES, Voice, cast_voices
from mfas.corpora.sentences import SENTENCES
from mfas.corpora.synthetic import Spoken, record
from mfas.errors import CorpusError

NEUTRAL = "neutral"
EMOTIONS = tuple(sorted(PROSODIES))
AGREE, CONFLICT = "agree", "conflict"
WORDS_NEUTRAL, PROSODY_NEUTRAL = "words neutral", "prosody neutral"
KINDS = (AGREE, CONFLICT, WORDS_NEUTRAL, PROSODY_NEUTRAL)
AGREEING, DIFFERING = "agree", "differ"  # labels of the rule congruence


@dataclass(frozen=True, order=True)
class Cell:
    """A pairing: the emotion of the words and that of the prosody."""

    words: str
    prosody: str

    @property
    def kind(self) -> str:
        """One of `KINDS`; a neutral beside an emotion is no conflict, two neutrals agree."""
        if self.words == self.prosody:
            return AGREE
        if NEUTRAL not in (self.words, self.prosody):
            return CONFLICT
        return WORDS_NEUTRAL if self.words == NEUTRAL else PROSODY_NEUTRAL


CELLS = tuple(Cell(words, prosody) for words in EMOTIONS for prosody in EMOTIONS)


@dataclass(frozen=True)
class Rule:
    """How a cell gets its label. says: the rule in words."""

    says: str
    label: Callable[[Cell], str]


RULES = {
    "prosody-first": Rule(
        "The label is the prosody's emotion; where the prosody is neutral, it is the words' emotion. "
        "Words alone fail where the two conflict, prosody alone where it is neutral. A sum of what both "
        "say, with more weight on the prosody, is enough.",
        lambda cell: cell.words if cell.prosody == NEUTRAL else cell.prosody,
    ),
    "congruence": Rule(
        "The label is whether words and prosody express the same: agree or differ. Either alone says "
        "nothing at all, and no sum of what both say decides: they must be held against each other.",
        lambda cell: AGREEING if cell.words == cell.prosody else DIFFERING,
    ),
    "words": Rule(
        "The label is the words' emotion: which stream hears words?", lambda cell: cell.words
    ),
    "prosody": Rule(
        "The label is the prosody's emotion: which stream hears prosody?", lambda cell: cell.prosody
    ),
}


@dataclass(frozen=True)
class ConflictPlan:
    """What the corpus is made of; the same plan gives the same bytes.

    takes: sentences of each emotion, and so utterances of a voice in each cell. own_sentences: no two
    voices share a sentence, so that folds that leave voices out share none either.
    """

    voices: int = 8
    takes: int = 3
    rule: str = "prosody-first"
    own_sentences: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        available = min(map(len, SENTENCES.values()))
        needed = self.takes * (self.voices if self.own_sentences else 1)
        if self.takes < 1 or needed > available:
            own = " x voices, with own sentences," if self.own_sentences else ""
            raise CorpusError(
                f"conflict corpus: {self.takes} takes; choose so that takes{own} is 1 to {available}"
            )
        if self.rule not in RULES:
            raise CorpusError(
                f"conflict corpus: no rule {self.rule}; use one of {', '.join(RULES)}"
            )


@dataclass(frozen=True)
class Clip:
    """One utterance of the plan; file is relative to the corpus's folder."""

    spoken: Spoken
    cell: Cell
    label: str
    file: str


def plan_conflict(plan: ConflictPlan) -> tuple[Clip, ...]:
    """Every voice x cell x take. Raises `CorpusError` for a number of voices that cannot be."""
    return tuple(
        _clip(plan, number, voice, cell, take)
        for number, voice in enumerate(cast_voices(plan.voices, plan.seed))
        for cell in CELLS
        for take in range(plan.takes)
    )


def synthesize_conflict(folder: str | Path, plan: ConflictPlan) -> Manifest:
    """Write the wav files (16 kHz, 16 bit) of a plan, and at last manifest.csv.

    Raises `CorpusError` if espeak-ng is not installed (mfas[demo]), or as `plan_conflict`.
    """
    folder = Path(folder).resolve()
    utterances = []
    for clip in plan_conflict(plan):
        voice, path = clip.spoken.voice, folder / clip.file
        record(clip.spoken, path)
        text, gender = clip.spoken.text, voice.gender
        utterances.append(
            Utterance(clip.file, path, voice.name, clip.label, text=text, gender=gender)
        )
    write_manifest(Manifest(tuple(utterances)), folder / "manifest.csv")
    return read_manifest(folder / "manifest.csv")


def _clip(plan: ConflictPlan, number: int, voice: Voice, cell: Cell, take: int) -> Clip:
    """The chance deviations of an utterance follow from the plan's seed and its place in the plan."""
    words, prosody = EMOTIONS.index(cell.words), EMOTIONS.index(cell.prosody)
    order = np.random.default_rng([plan.seed, words]).permutation(SENTENCES[cell.words]).tolist()
    text = order[take + (number * plan.takes if plan.own_sentences else 0)]
    generator = np.random.default_rng([plan.seed, number, words, prosody, take])
    spoken = Spoken(voice, text, cell.words, cell.prosody, int(generator.integers(2**32)))
    name = f"{voice.name}_{cell.words}-words_{cell.prosody}-prosody_{take + 1:02d}.wav"
    return Clip(spoken, cell, RULES[plan.rule].label(cell), f"{voice.name}/{name}")
