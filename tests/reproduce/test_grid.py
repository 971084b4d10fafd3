"""Accuracy by cell and by kind of cell, against computations by hand."""

import numpy as np
import pytest

from mfas.corpora.conflict import CELLS, KINDS, RULES
from mfas.reproduce.grid import (
    Heard,
    compare_kinds,
    ideal_shares,
    read_heard,
    score_cells,
    score_kinds,
)
from mfas.storage import write_csv

SPEAKERS = ("a", "b", "c")
label_of = RULES["prosody-first"].label


def heard(predict):
    """One utterance of every speaker in every cell; `predict(speaker, cell)`."""
    return [
        Heard(f"{speaker}/{cell.words}-{cell.prosody}", speaker, cell, label_of(cell), answer)
        for speaker in SPEAKERS
        for cell in CELLS
        for answer in [predict(speaker, cell)]
    ]


BY_PROSODY = heard(lambda speaker, cell: cell.prosody)
BY_WORDS = heard(lambda speaker, cell: cell.words)
MIXED = heard(lambda speaker, cell: label_of(cell) if speaker == "a" else cell.words)


def accuracies(scores):
    return [scores[kind]["accuracy"] for kind in KINDS]


def test_perfect_ears_for_one_content_are_right_where_the_rule_says():
    assert accuracies(score_kinds(BY_PROSODY, 100)) == [1, 1, 1, 0]
    assert accuracies(score_kinds(BY_WORDS, 100)) == [1, 0, 0, 1]
    prosody, words = (ideal_shares("prosody-first", known) for known in ("prosody", "words"))
    assert list(prosody.values()) == [1, 1, 1, 0]
    assert list(words.values()) == [1, 0, 0, 1]


def test_neither_content_alone_tells_congruence():
    for known in ("prosody", "words"):
        assert set(ideal_shares("congruence", known).values()) == {0.5}


def test_cells_of_the_grid():
    scores = score_cells(MIXED, 100)
    assert [(s["words"], s["prosody"]) for s in scores] == [(c.words, c.prosody) for c in CELLS]
    right = {(s["words"], s["prosody"]): s["accuracy"] for s in scores}
    assert right["happy", "happy"] == right["happy", "neutral"] == 1
    assert right["happy", "sad"] == right["neutral", "sad"] == pytest.approx(1 / 3)


def test_intervals_resample_whole_speakers():
    drawn_RG = np.random.default_rng(0).multinomial(3, [1 / 3] * 3, size=500)
    shares_R = drawn_RG[:, 0] / 3  # in conflict only speaker a is ever right
    low, high = np.percentile(shares_R, [2.5, 97.5])
    assert score_kinds(MIXED, 500)["conflict"] == {
        "accuracy": pytest.approx(1 / 3),
        "ci95": pytest.approx([low, high]),
    }
    gain = compare_kinds(MIXED, BY_WORDS, 500)
    assert gain["conflict"]["difference"] == pytest.approx(1 / 3)
    assert gain["conflict"]["ci95"] == pytest.approx([low, high])
    assert not gain["conflict"]["shown"]
    assert gain["agree"] == {"difference": 0, "ci95": [0, 0], "shown": False}


def test_differences_are_shown_in_both_directions():
    gain = compare_kinds(BY_PROSODY, BY_WORDS, 100)
    assert [gain[kind]["difference"] for kind in KINDS] == [0, 1, 1, -1]
    assert [gain[kind]["shown"] for kind in KINDS] == [False, True, True, True]


def test_ua_is_that_of_labels():
    # recalls of BY_WORDS: of 5 angry cells, those with angry words and prosody angry or neutral: 2;
    # the same for happy and sad; the one neutral cell is right
    found = score_kinds(BY_WORDS, 100)["all, UA"]
    assert found["accuracy"] == pytest.approx((3 * 2 / 5 + 1) / 4)
    gain = compare_kinds(BY_PROSODY, BY_WORDS, 100)["all, UA"]
    assert gain["difference"] == pytest.approx((3 * 4 / 5 + 1) / 4 - (3 * 2 / 5 + 1) / 4)


def test_seeds_one_after_the_other_are_averaged():
    both = score_kinds([*BY_PROSODY, *BY_WORDS], 100)
    assert accuracies(both) == [1, 0.5, 0.5, 0.5]


def test_other_utterances_are_not_compared():
    with pytest.raises(AssertionError, match="not the same utterances"):
        compare_kinds(BY_PROSODY, BY_PROSODY[::-1], 100)


def test_predictions_are_read_with_their_cells(tmp_path):
    rows = [{"fold": "a", "file": "x.wav", "speaker": "a", "label": "sad", "predicted": "angry"}]
    write_csv(tmp_path / "predictions.csv", list(rows[0]), rows)
    cell = CELLS[3]
    assert read_heard(tmp_path, {"x.wav": cell}) == [Heard("x.wav", "a", cell, "sad", "angry")]
