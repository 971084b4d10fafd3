import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfas.corpora import Manifest, Utterance, hold_out, make_folds
from mfas.errors import ManifestError

SPLITS = ["loso", "lospo", "groups:2", "groups:3", "kfold10"]


@st.composite
def manifests(draw) -> Manifest:
    """Speakers with different numbers of each class, all classes at least once each."""
    speakers = draw(st.integers(6, 9))
    rows = [
        Utterance(f"{s}-{label}-{take}", Path("/c"), f"s{s}", label, session=f"Ses{s % 4}")
        for s in range(speakers)
        for label in "abc"
        for take in range(draw(st.integers(1, 4)))
    ]
    return Manifest(tuple(draw(st.permutations(rows))))


def groups_of(manifest: Manifest, split: str, indices: tuple[int, ...]) -> set[str | None]:
    key = "session" if split == "loso" else "speaker"
    return {getattr(manifest.utterances[i], key) for i in indices}


@settings(max_examples=40, deadline=None)
@given(manifest=manifests(), split=st.sampled_from(SPLITS), seed=st.integers(0, 99))
def test_folds_are_disjoint_and_test_everything_once(manifest, split, seed):
    folds = make_folds(manifest, split, seed, 0.25, "inner")
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(manifest)))
    for fold in folds:
        parts = (fold.train, fold.validation, fold.test)
        assert all(part and list(part) == sorted(part) for part in parts)
        assert sorted(i for part in parts for i in part) == list(range(len(manifest)))
        assert {manifest.utterances[i].label for i in fold.train} == set("abc")
        if split != "kfold10":
            groups = [groups_of(manifest, split, part) for part in parts]
            assert not groups[0] & groups[1]
            assert not groups[0] & groups[2]
            assert not groups[1] & groups[2]
    assert len({fold.name for fold in folds}) == len(folds)


@settings(max_examples=30, deadline=None)
@given(manifest=manifests(), split=st.sampled_from(SPLITS), seed=st.integers(0, 99))
def test_folds_depend_on_nothing_but_the_arguments(manifest, split, seed):
    rows = list(manifest.utterances)
    random.Random(seed).shuffle(rows)
    again = make_folds(Manifest(tuple(rows)), split, seed, 0.25, "inner")
    assert again == make_folds(manifest, split, seed, 0.25, "inner")


@pytest.mark.parametrize("split", ["groups:3", "kfold10"])
def test_another_seed_gives_other_folds(corpus, split):
    manifest = corpus(speakers=9)
    folds = {make_folds(manifest, split, seed, 0.2, "inner") for seed in range(4)}
    assert len(folds) == 4


def test_lospo_and_loso_are_named_by_whom_they_test(corpus):
    manifest = corpus(speakers=6)
    lospo = make_folds(manifest, "lospo", 0, 0.2, "inner")
    assert [fold.name for fold in lospo] == list(manifest.speakers)
    assert all(groups_of(manifest, "lospo", fold.test) == {fold.name} for fold in lospo)
    loso = make_folds(manifest, "loso", 0, 0.2, "inner")
    assert [fold.name for fold in loso] == ["Ses0", "Ses1", "Ses2"]
    assert all(groups_of(manifest, "loso", fold.test) == {fold.name} for fold in loso)


def test_paper_selection_chooses_on_test(corpus):
    manifest = corpus()
    for fold in make_folds(manifest, "lospo", 0, 0.2, "paper"):
        assert fold.validation == fold.test
        assert len(fold.train) + len(fold.test) == len(manifest)


@pytest.mark.parametrize(("fraction", "expected"), [(0.01, 1), (0.2, 2), (0.5, 4), (0.99, 8)])
def test_inner_validation_takes_a_share_of_the_speakers_in_turn(corpus, fraction, expected):
    manifest = corpus(speakers=10)
    folds = make_folds(manifest, "lospo", 3, fraction, "inner")
    chosen = [groups_of(manifest, "lospo", fold.validation) for fold in folds]
    assert {len(speakers) for speakers in chosen} == {expected}
    served = Counter(speaker for speakers in chosen for speaker in speakers)
    assert len(served) == 10
    assert max(served.values()) - min(served.values()) <= 2


def test_inner_validation_has_every_class_where_it_can():
    rows = [
        Utterance(f"{s}-{label}-{take}", Path("/c"), f"s{s}", label)
        for s in range(8)
        for label in ("ab" if s % 2 else "bc")
        for take in range(2)
    ]
    manifest = Manifest(tuple(rows))
    for fold in make_folds(manifest, "lospo", 0, 0.3, "inner"):
        assert {manifest.utterances[i].label for i in fold.validation} == set("abc")
        assert {manifest.utterances[i].label for i in fold.train} == set("abc")


def test_groups_balance_size_and_classes(corpus):
    manifest = corpus(speakers=12, per_class=4)
    for fold in make_folds(manifest, "groups:4", 0, 0.2, "inner"):
        assert Counter(manifest.utterances[i].label for i in fold.test) == dict.fromkeys("abc", 12)


def test_kfold10_is_stratified_and_mixes_speakers(corpus):
    manifest = corpus(speakers=6, per_class=5)
    folds = make_folds(manifest, "kfold10", 0, 0.2, "inner")
    assert [fold.name for fold in folds] == [f"{n:02d}" for n in range(1, 11)]
    for fold in folds:
        assert Counter(manifest.utterances[i].label for i in fold.test) == dict.fromkeys("abc", 3)
        labels = Counter(manifest.utterances[i].label for i in fold.validation)
        assert labels == dict.fromkeys("abc", 5)
        assert groups_of(manifest, "kfold10", fold.test) & groups_of(
            manifest, "kfold10", fold.train
        )


@pytest.mark.parametrize(
    ("speakers", "split", "message"),
    [
        (1, "lospo", r"lospo needs at least 2 speakers, there is 1 \(s0\); .*'kfold10' with eval"),
        (2, "lospo", r"fold s0 of lospo: only s1 is left to train on.*add speakers"),
        (2, "loso", r"loso needs at least 2 sessions, there is 1 \(Ses0\)"),
        (4, "loso", r"fold Ses0 of loso: only Ses1 is left to train on"),
        (3, "groups:4", r"groups:4 needs at least 4 speakers, there is 3"),
        (3, "groups:1", r"groups:1 leaves nothing to train on; use groups:2"),
    ],
)
def test_too_few_groups(corpus, speakers, split, message):
    with pytest.raises(ManifestError, match=message):
        make_folds(corpus(speakers=speakers), split, 0, 0.2, "inner")


def test_two_speakers_suffice_without_inner_selection(corpus):
    assert len(make_folds(corpus(speakers=2), "lospo", 0, 0.2, "paper")) == 2


def test_kfold10_needs_ten_utterances_and_works_for_one_speaker(corpus):
    with pytest.raises(ManifestError, match=r"9 utterances do not make 10 folds"):
        make_folds(corpus(speakers=1), "kfold10", 0, 0.2, "inner")
    assert len(make_folds(corpus(speakers=1, per_class=4), "kfold10", 0, 0.2, "inner")) == 10


def test_loso_needs_sessions():
    rows = tuple(Utterance(f"{n}.wav", Path("/c"), f"s{n}", "a") for n in range(4))
    with pytest.raises(ManifestError, match=r"loso needs a session .* 0\.wav has none.*lospo"):
        make_folds(Manifest(rows), "loso", 0, 0.2, "inner")


def test_a_class_without_training_material_is_named(corpus):
    rare = Utterance("rare.wav", Path("/c"), "s0", "rare")
    manifest = Manifest((*corpus().utterances, rare), path=Path("m.csv"))
    message = r"m\.csv: fold s0 of lospo: no training utterance of class rare; leave"
    with pytest.raises(ManifestError, match=message):
        make_folds(manifest, "lospo", 0, 0.2, "inner")


def test_a_class_of_one_speaker_stays_in_training(corpus):
    rare = tuple(Utterance(f"s1/r{n}.wav", Path("/c"), "s1", "rare") for n in range(3))
    manifest = Manifest((*corpus().utterances, *rare))
    train, validation = hold_out(manifest, "lospo", 0.5, seed=0)
    assert "s1" in groups_of(manifest, "lospo", train)
    assert {manifest.utterances[i].label for i in validation} == set("abc")


@pytest.mark.parametrize("split", SPLITS)
def test_a_model_for_use_holds_whole_groups_out_of_everything(corpus, split):
    manifest = corpus(speakers=8)
    train, validation = hold_out(manifest, split, 0.25, seed=1)
    assert sorted((*train, *validation)) == list(range(len(manifest)))
    shared = groups_of(manifest, split, train) & groups_of(manifest, split, validation)
    assert bool(shared) == (split == "kfold10")
    assert hold_out(manifest, split, 0.25, seed=1) == (train, validation)
