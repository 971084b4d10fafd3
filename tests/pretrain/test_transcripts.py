"""Characters, greedy decoding, and error rates against a Levenshtein distance of our own."""

import re
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from mfas.pretrain.transcripts import (
    BLANK,
    CHARACTERS,
    decode,
    encode,
    error_rates,
    greedy,
    normalise,
)

texts = st.text(max_size=40) | st.text("abcXYZ '’é1ß,-\n", max_size=40)


def levenshtein(wanted: Sequence[str], heard: Sequence[str]) -> int:
    row = list(range(len(heard) + 1))
    for i, expected in enumerate(wanted, start=1):
        above, row = row, [i]
        for j, found in enumerate(heard, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (expected != found)))
    return row[-1]


def test_the_blank_comes_first_and_spells_nothing() -> None:
    assert (CHARACTERS[BLANK], BLANK, len(CHARACTERS)) == ("", 0, 29)
    assert len(set(CHARACTERS)) == 29


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don’t  stop!", "DON'T STOP"),
        ("Façade, naïve: STRASSE—Straße", "FACADE NAIVE STRASSE STRASSE"),
        ("rock\u00b4n\u2019roll ＇tis", "ROCK'N'ROLL 'TIS"),
        ("Room 101 at 5pm", "ROOM AT PM"),
        ("\tI\n am\u00a0here ", "I AM HERE"),
        ("42 …!?", ""),
        ("", ""),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


@given(texts)
def test_normalised_text_is_made_of_words_and_stays_as_it_is(text: str) -> None:
    normalised = normalise(text)
    assert re.fullmatch(r"([A-Z']+( [A-Z']+)*)?", normalised)
    assert normalise(normalised) == normalised


@given(texts, st.data())
def test_any_alignment_of_a_text_decodes_to_it(text: str, data: st.DataObject) -> None:
    frames: list[int] = []
    for number in encode(text):
        blanks = data.draw(st.integers(int(frames[-1:] == [number]), 2))
        frames += [BLANK] * blanks + [number] * data.draw(st.integers(1, 3))
    assert BLANK not in encode(text)
    assert decode(frames) == normalise(text)


def test_greedy_reads_real_frames_alone() -> None:
    h, i = encode("HI")
    best_BT = torch.tensor([[h, h, BLANK, i, i, BLANK, i], [BLANK, i, h, i, h, i, h]])
    log_probabilities_BTK = (0.9 * F.one_hot(best_BT, len(CHARACTERS)) + 0.01).log()
    assert greedy(log_probabilities_BTK, torch.tensor([7, 3])) == ["HII", "IH"]


@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_error_rates_are_those_of_levenshtein_over_all_utterances(
    pairs: list[tuple[str, str]],
) -> None:
    pairs = [("Some words", "sum words here"), *pairs]
    rates = error_rates(*zip(*pairs, strict=True))
    counted = [(normalise(a), normalise(b)) for a, b in pairs if normalise(a)]
    characters = sum(len(a) for a, _ in counted)
    words = sum(len(a.split()) for a, _ in counted)
    assert (rates.utterances, rates.characters) == (len(counted), characters)
    assert rates.cer == pytest.approx(sum(levenshtein(a, b) for a, b in counted) / characters)
    assert rates.wer == pytest.approx(
        sum(levenshtein(a.split(), b.split()) for a, b in counted) / words
    )


def test_error_rates_ignore_case_and_punctuation_and_may_pass_one() -> None:
    assert error_rates(["Oh, no!"], ["OH NO"]).cer == 0
    silent, wordy = error_rates(["ab"], [""]), error_rates(["ab"], ["ab cd ef"])
    assert (silent.cer, silent.wer) == (1, 1)
    assert (wordy.cer, wordy.wer) == (3, 2)


def test_error_rates_need_a_reference_with_letters() -> None:
    with pytest.raises(ValueError, match="no reference has a letter"):
        error_rates(["12", ""], ["twelve", "so"])
