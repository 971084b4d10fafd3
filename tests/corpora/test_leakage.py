from dataclasses import replace

import pytest

from mfas.corpora import Fold, Manifest, find_leaks, guard, make_folds
from mfas.errors import LeakageError


def hashes(manifest: Manifest) -> list[str]:
    return [f"hash of {u.file}" for u in manifest]


def kinds(leaks) -> set[tuple[str, str]]:
    return {(leak.kind, leak.between) for leak in leaks}


@pytest.mark.parametrize("split", ["loso", "lospo", "groups:3"])
def test_speaker_disjoint_folds_with_inner_selection_are_honest(corpus, split):
    manifest = corpus()
    folds = make_folds(manifest, split, 0, 0.2, "inner")
    leaks = find_leaks(manifest, folds, split, hashes(manifest), guard_text=True)
    assert leaks == ()
    assert guard(leaks, allow_optimistic=False) is True


def test_random_folds_leak_speakers(corpus):
    manifest = corpus()
    folds = make_folds(manifest, "kfold10", 0, 0.2, "inner")
    leaks = find_leaks(manifest, folds, "kfold10", hashes(manifest), guard_text=False)
    shared = {("speaker", "train/test"), ("speaker", "validation/test")}
    assert kinds(leaks) == shared | {("split", "train/test")}
    assert leaks[0].fold == "01"
    assert "shared, e.g. 's" in leaks[0].detail


def test_paper_selection_leaks_validation_only(corpus):
    manifest = corpus()
    folds = make_folds(manifest, "lospo", 0, 0.2, "paper")
    leaks = find_leaks(manifest, folds, "lospo", hashes(manifest), guard_text=False)
    assert kinds(leaks) == {("validation", "validation/test")}
    assert len(leaks) == len(folds)
    assert "choices are made on 9 test utterances, e.g. s0/a0.wav" in leaks[0].detail


def test_the_same_audio_on_both_sides_is_found(corpus):
    manifest = corpus(speakers=4)
    folds = make_folds(manifest, "lospo", 0, 0.2, "inner")
    same = hashes(manifest)
    same[folds[0].test[0]] = same[folds[0].train[0]]
    leaks = find_leaks(manifest, folds[:1], "lospo", same, guard_text=False)
    assert kinds(leaks) == {("audio", "train/test")}
    assert "the same samples in " in leaks[0].detail
    unknown = [""] * len(manifest)
    assert find_leaks(manifest, folds, "lospo", unknown, guard_text=False) == ()


def test_the_same_text_leaks_only_if_guarded(corpus):
    manifest = corpus(speakers=4)
    manifest = Manifest(tuple(replace(u, text=" Same  TEXT ") for u in manifest))
    folds = make_folds(manifest, "lospo", 0, 0.2, "inner")
    assert find_leaks(manifest, folds, "lospo", hashes(manifest), guard_text=False) == ()
    leaks = find_leaks(manifest, folds, "lospo", hashes(manifest), guard_text=True)
    assert kinds(leaks) == {("text", "train/test"), ("text", "validation/test")}


def test_sessions_are_judged_for_loso_only(corpus):
    manifest = corpus(speakers=6)
    folds = make_folds(manifest, "lospo", 0, 0.2, "inner")
    assert find_leaks(manifest, folds, "lospo", hashes(manifest), guard_text=False) == ()
    leaks = find_leaks(manifest, folds, "loso", hashes(manifest), guard_text=False)
    assert {leak.kind for leak in leaks} == {"session"}


def test_a_speaker_in_two_sessions_leaks(corpus):
    manifest = corpus(speakers=6)
    renamed = Manifest(
        tuple(replace(u, speaker="s0") if u.speaker == "s2" else u for u in manifest)
    )
    folds = make_folds(renamed, "loso", 0, 0.2, "inner")
    leaks = find_leaks(renamed, folds, "loso", hashes(renamed), guard_text=False)
    assert {leak.kind for leak in leaks} == {"speaker"}


@pytest.mark.parametrize("kind", ["speaker", "audio", "text", "validation", "session"])
def test_the_guard_refuses_in_one_line_or_stamps(corpus, kind):
    manifest = corpus(speakers=4)
    rows = [replace(u, text="t") if kind == "text" else u for u in manifest]
    if kind == "session":
        rows = [replace(u, session="Ses0") for u in rows]
    if kind == "speaker":
        rows = [replace(u, speaker="s0") if u.file == "s3/a0.wav" else u for u in rows]
    manifest = Manifest(tuple(rows))
    part = [tuple(i for i, u in enumerate(rows) if u.file.startswith(f"s{s}")) for s in range(4)]
    train = (*part[2], *part[3])
    validation = part[0] if kind == "validation" else part[1]
    own_hashes = ["same"] * len(manifest) if kind == "audio" else hashes(manifest)
    folds = (Fold("s0", train, validation, part[0]),)
    split = "loso" if kind == "session" else "lospo"
    leaks = find_leaks(manifest, folds, split, own_hashes, guard_text=kind == "text")
    assert {leak.kind for leak in leaks} == {kind}
    message = rf"fold s0: {kind} leak, .*; set evaluate\.allow_optimistic = true to run it, stamped"
    with pytest.raises(LeakageError, match=message) as caught:
        guard(leaks, allow_optimistic=False)
    assert "\n" not in str(caught.value)
    assert guard(leaks, allow_optimistic=True) is False


def test_random_folds_leak_even_if_no_speaker_spoke_twice(corpus):
    manifest = corpus()
    alone = Manifest(tuple(replace(u, speaker=u.file) for u in manifest))
    folds = make_folds(alone, "kfold10", 0, 0.2, "inner")
    leaks = find_leaks(alone, folds, "kfold10", hashes(alone), guard_text=False)
    assert kinds(leaks) == {("split", "train/test")}
