"""Transcripts: texts become classes of characters, frames become texts, and both are compared.

Greedy decoding takes the best class of each frame, merges repeats and drops blanks (Graves et al.,
"Connectionist temporal classification", ICML 2006, best path decoding). There is no language model.
Error rates are those of the library jiwer, over all utterances together.

Choices: 26 letters, space and apostrophe, in upper case. Accents are folded; digits and every other
character, letters without an ASCII base (ł, ø, я) among them, become a space, so texts should
spell numbers out.

Shape legend: B utterances, T encoder frames, K classes.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from string import ascii_uppercase

import jiwer
from torch import Tensor

BLANK = 0
CHARACTERS = ("", " ", "'", *ascii_uppercase)  # by class; the blank spells nothing
_CLASSES = {character: number for number, character in enumerate(CHARACTERS)}
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u2032\u00b4`", "'"))


@dataclass(frozen=True)
class ErrorRates:
    """Edits per character (spaces count) and per word, over `utterances` of `characters` in all."""

    cer: float
    wer: float
    utterances: int
    characters: int


def normalise(text: str) -> str:
    """A-Z, apostrophes, and single spaces between words; may be empty.

    Apostrophes are mapped first: some of them decompose into a space and an accent.
    """
    decomposed = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES))
    bare = "".join(c for c in decomposed if not unicodedata.combining(c))
    upper = bare.translate(_APOSTROPHES).upper()
    return " ".join("".join(c if c in _CLASSES else " " for c in upper).split())


def encode(text: str) -> list[int]:
    """The classes of the normalised text, without blanks."""
    return [_CLASSES[character] for character in normalise(text)]


def decode(classes: Iterable[int]) -> str:
    """The text that a class for each frame spells: repeats merged, then blanks dropped."""
    return "".join(CHARACTERS[number] for number, _ in groupby(classes))


def greedy(log_probabilities_BTK: Tensor, frames_B: Tensor) -> list[str]:
    """The text of the best class of each of the first `frames_B` frames."""
    best_BT = log_probabilities_BTK.argmax(-1).tolist()
    return [decode(row[:frames]) for row, frames in zip(best_BT, frames_B.tolist(), strict=True)]


def error_rates(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRates:
    """Error rates of normalised texts, edits of all utterances over the length of all references.

    Utterances whose normalised reference is empty are left out, whatever was heard in them: an
    error rate has no meaning there. Raises `ValueError` if none is left.
    """
    pairs = [
        (normalise(reference), normalise(hypothesis))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    pairs = [pair for pair in pairs if pair[0]]
    if not pairs:
        raise ValueError("no reference has a letter; error rates need one")
    wanted, heard = [reference for reference, _ in pairs], [hypothesis for _, hypothesis in pairs]
    cer, wer = jiwer.process_characters(wanted, heard).cer, jiwer.process_words(wanted, heard).wer
    return ErrorRates(float(cer), float(wer), len(pairs), sum(map(len, wanted)))
