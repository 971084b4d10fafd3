"""The blank penalty: chosen as by hand, measured crosswise, folded into the head."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfas.config import CtcSection
from mfas.corpora import Utterance
from mfas.encoders import COMPACT, TransformerEncoder
from mfas.pretrain.ctc import CtcObjective
from mfas.pretrain.speech import Speech
from mfas.pretrain.spelling import (
    PENALTIES,
    Spoken,
    choose_penalty,
    hear,
    weigh_spelling,
)
from mfas.pretrain.transcripts import CHARACTERS


def spoken(speaker: str, shy: float, noise: float = 9.0) -> Spoken:
    """ "AB" with clear blanks between; both letters are `shy` nats below the blank, a false C `noise`."""
    scores_TK = torch.full((7, len(CHARACTERS)), -20.0)
    scores_TK[:, 0] = 0.0
    for frame, letter in ((1, "A"), (3, "B")):
        scores_TK[frame, CHARACTERS.index(letter)] = -shy
    scores_TK[5, CHARACTERS.index("C")] = -noise
    return Spoken(speaker, "ab", scores_TK)


@pytest.mark.parametrize(("shy", "chosen"), [(-0.1, 0), (0.1, 0.25), (0.6, 0.75), (1.9, 2.0)])
def test_the_penalty_is_the_least_that_spells_best(shy: float, chosen: float) -> None:
    assert choose_penalty([spoken("a", shy)]) == chosen
    assert choose_penalty([spoken("a", shy, noise=chosen + 0.1)]) == chosen


def test_letters_gained_are_weighed_against_letters_invented() -> None:
    heard = [spoken("a", 1.1, noise=0.9), spoken("a", 0.4, noise=0.9), spoken("a", 0.4, noise=0.9)]
    assert choose_penalty(heard) == 0.5  # 1.25 would gain two letters and invent three


def test_each_half_of_the_speakers_is_spelt_with_what_the_other_chose() -> None:
    shy = {"a": 0.4, "b": 1.4, "c": 0.4, "d": 1.4}  # halves: a c, b d
    heard = [spoken(speaker, nats, noise=1.6) for speaker, nats in shy.items()]
    spelling = weigh_spelling(heard)
    assert spelling.by_halves == (0.5, 1.5)
    assert spelling.plain.cer == 1
    assert (
        spelling.crosswise.cer == 0.5
    )  # with 1.5, a and c are right; with .5, b and d spell nothing
    assert spelling.blank_penalty == 1.5
    assert spelling.rates == spelling.crosswise
    assert spelling.rates.characters == 8


def test_a_penalty_that_helps_its_own_half_alone_is_not_kept() -> None:
    heard = [*[spoken("a", 0.4)] * 3, spoken("b", -1.0, noise=0.3)]
    spelling = weigh_spelling(heard)
    assert choose_penalty(heard) == 0.5
    assert spelling.by_halves == (0.5, 0)
    assert spelling.crosswise.cer > spelling.plain.cer
    assert spelling.blank_penalty == 0
    assert spelling.rates == spelling.plain


def test_of_one_speaker_nothing_is_chosen() -> None:
    spelling = weigh_spelling([spoken("a", 0.4), spoken("a", 0.4)])
    assert (spelling.blank_penalty, spelling.crosswise) == (0, None)
    assert spelling.rates == spelling.plain
    assert spelling.plain.cer == 1


def test_penalties_begin_with_none_at_all() -> None:
    assert PENALTIES == (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2)


@pytest.fixture
def speech() -> Speech:
    lengths_R = np.array([9_000, 16_000, 12_000])
    samples_N = np.random.default_rng(0).normal(0, 3000, lengths_R.sum()).astype(np.int16)
    utterances = tuple(
        Utterance(f"{i}.wav", f"{i}.wav", speaker, "", text=text)
        for i, (speaker, text) in enumerate([("a", "some words"), ("b", "few"), ("a", "more")])
    )
    return Speech(utterances, samples_N, np.cumsum(lengths_R) - lengths_R, lengths_R)


def test_every_utterance_is_heard_once_and_without_its_padding(speech: Speech) -> None:
    config = replace(COMPACT, dim=16, ffn=32, heads=2, depth=2, position_groups=4, dropout=0.5)
    objective = CtcObjective(TransformerEncoder(config, "tec", seed=1), CtcSection(), seed=2)
    together = {s.text: s for s in hear(objective.train(), speech, 10)}
    assert objective.training
    assert {text: s.speaker for text, s in together.items()} == {
        "some words": "a",
        "few": "b",
        "more": "a",
    }
    for alone in hear(objective, speech, 0.1):
        whole = together[alone.text]
        torch.testing.assert_close(whole.log_probabilities_TK, alone.log_probabilities_TK)
    lengths = [len(together[text].log_probabilities_TK) for text in ("some words", "more", "few")]
    assert lengths == sorted(set(lengths))


def test_a_penalty_in_the_head_is_the_penalty_that_was_weighed(speech: Speech) -> None:
    config = replace(COMPACT, dim=16, ffn=32, heads=2, depth=2, position_groups=4)
    objective = CtcObjective(TransformerEncoder(config, "tec", seed=1), CtcSection(), seed=2).eval()
    with torch.no_grad():
        objective.head.linear.bias[0] += 1.0
    before = hear(objective, speech, 10)
    objective.head.penalise_blank(0.75)
    after = hear(objective, speech, 10)
    for one, other in zip(before, after, strict=True):
        handicapped = one.log_probabilities_TK.clone()
        handicapped[:, 0] -= 0.75
        torch.testing.assert_close(handicapped.log_softmax(-1), other.log_probabilities_TK)
