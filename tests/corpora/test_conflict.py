"""The conflict corpus: what its plan promises, its rules by hand, the same bytes."""

from collections import Counter, defaultdict

import pytest

from mfas.corpora import ConflictPlan, find_leaks, make_folds, plan_conflict, synthesize_conflict
from mfas.corpora.conflict import CELLS, KINDS, RULES, Cell
from mfas.corpora.sentences import SENTENCES
from mfas.errors import CorpusError

BY_HAND = {  # words: labels with prosody angry, happy, neutral, sad
    "prosody-first": {
        "angry": "angry happy angry sad",
        "happy": "angry happy happy sad",
        "neutral": "angry happy neutral sad",
        "sad": "angry happy sad sad",
    },
    "congruence": {
        "angry": "agree differ differ differ",
        "happy": "differ agree differ differ",
        "neutral": "differ differ agree differ",
        "sad": "differ differ differ agree",
    },
}


def test_every_voice_speaks_every_cell_equally_often():
    clips = plan_conflict(ConflictPlan(voices=3, takes=2))
    counts = Counter((clip.spoken.voice.name, clip.cell) for clip in clips)
    assert len(counts) == 3 * 16
    assert set(counts.values()) == {2}
    for clip in clips:
        assert (clip.spoken.word_emotion, clip.spoken.prosody_emotion) == (
            clip.cell.words,
            clip.cell.prosody,
        )
        assert clip.spoken.text in SENTENCES[clip.cell.words]
    assert len({clip.file for clip in clips}) == len({clip.spoken.seed for clip in clips}) == 96


def test_words_say_nothing_about_prosody():
    tones = defaultdict(list)
    for clip in plan_conflict(ConflictPlan(voices=2, takes=3)):
        tones[clip.spoken.voice.name, clip.spoken.text].append(clip.cell.prosody)
    assert len(tones) == 2 * 12
    assert all(sorted(own) == ["angry", "happy", "neutral", "sad"] for own in tones.values())


@pytest.mark.parametrize("rule", BY_HAND)
def test_labels_follow_the_rule(rule):
    said = {words: labels.split() for words, labels in BY_HAND[rule].items()}
    expected = [label for words in sorted(said) for label in said[words]]
    assert [RULES[rule].label(cell) for cell in CELLS] == expected
    plan = plan_conflict(ConflictPlan(voices=1, takes=1, rule=rule))
    assert [clip.label for clip in plan] == expected


def test_what_is_heard_is_asked_by_the_words_or_by_the_prosody():
    assert [RULES["words"].label(cell) for cell in CELLS] == [cell.words for cell in CELLS]
    assert [RULES["prosody"].label(cell) for cell in CELLS] == [cell.prosody for cell in CELLS]


def test_kinds_of_cells():
    assert Counter(cell.kind for cell in CELLS) == dict(zip(KINDS, (4, 6, 3, 3), strict=True))
    assert Cell("neutral", "neutral").kind == "agree"
    assert Cell("neutral", "sad").kind == "words neutral"
    assert Cell("happy", "neutral").kind == "prosody neutral"
    assert Cell("happy", "sad").kind == "conflict"


def test_own_sentences_leave_no_text_to_two_voices(tmp_path):
    pytest.importorskip("espeakng_loader")
    own, shared = (
        synthesize_conflict(tmp_path / str(flag), ConflictPlan(3, 1, own_sentences=flag))
        for flag in (True, False)
    )
    for manifest, kinds in ((own, set()), (shared, {"text"})):
        folds = make_folds(manifest, "lospo", 0, 0.2, "inner")
        leaks = find_leaks(manifest, folds, "lospo", [""] * len(manifest), guard_text=True)
        assert {leak.kind for leak in leaks} == kinds


def test_the_same_plan_gives_the_same_bytes(tmp_path):
    pytest.importorskip("espeakng_loader")
    plan = ConflictPlan(voices=1, takes=1)
    first = synthesize_conflict(tmp_path / "a", plan)
    synthesize_conflict(tmp_path / "b", plan)
    written = {p.name: p.read_bytes() for p in (tmp_path / "a").rglob("*.*")}
    assert written == {p.name: p.read_bytes() for p in (tmp_path / "b").rglob("*.*")}
    assert len(written) == 17
    labels = {clip.file: clip.label for clip in plan_conflict(plan)}
    assert {u.file: u.label for u in first} == labels


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"takes": 0}, "0 takes; choose so that takes is 1 to 10"),
        ({"takes": 11}, "11 takes"),
        ({"takes": 2, "own_sentences": True}, r"takes x voices, with own sentences, is 1 to 10"),
        ({"rule": "sarcasm"}, "no rule sarcasm; use one of prosody-first, congruence"),
    ],
)
def test_impossible_plans(choices, said):
    with pytest.raises(CorpusError, match=said):
        ConflictPlan(**choices)


def test_impossible_numbers_of_voices():
    with pytest.raises(CorpusError, match="99 voices; choose 1 to 16"):
        plan_conflict(ConflictPlan(voices=99))
