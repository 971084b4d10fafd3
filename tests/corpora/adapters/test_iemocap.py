"""A tree with the quirks of the real release: hidden files, per-rater subfolders, mixed dialogs."""

from pathlib import Path

import pytest

from mfas.corpora import adapt_corpus, find_leaks, guard, make_folds
from mfas.errors import CorpusError

PROTOCOL = {"ang": 1103, "hap": 595, "exc": 1041, "neu": 1708, "sad": 1084}
MERGE = {"excited": "happy"}
CLASSES = ("angry", "happy", "neutral", "sad")


def add_dialog(session: Path, dialog: str, turns: list[tuple[str, str]]) -> None:
    """Write a dialog of (utterance id suffix as in F000, label code) turns."""
    ratings = session / "dialog" / "EmoEvaluation"
    spoken = session / "dialog" / "transcriptions"
    audio = session / "sentences" / "wav" / dialog
    for folder in (ratings, spoken, audio):
        folder.mkdir(parents=True, exist_ok=True)
    lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
    texts = ["M: unmarked line"]
    for number, (turn, code) in enumerate(turns):
        name = f"{dialog}_{turn}"
        lines += [
            f"[{number}.2901 - {number + 1}.2357]\t{name}\t{code}\t[2.5000, 3.0000, 3.5000]",
            "C-E2:\tNeutral;\t()",
            "A-E3:\tval 3; act 2; dom  2;\t()",
            "",
        ]
        texts.append(f"{name} [00{number}.2901-00{number + 1}.2357]: Excuse me.")
        (audio / f"{name}.wav").touch()
        (audio / f"._{name}.wav").touch()
    (ratings / f"{dialog}.txt").write_text("\n".join(lines), encoding="utf-8")
    (ratings / f"._{dialog}.txt").write_bytes(b"\x00\x05\x16\x07 not text \xff")
    (spoken / f"{dialog}.txt").write_text("\r\n".join(texts), encoding="utf-8")


def add_clutter(session: Path) -> None:
    ratings = session / "dialog" / "EmoEvaluation"
    for name in ("Categorical", "Attribute", "Self-evaluation"):
        (ratings / name).mkdir()
        wrong = "[0.0 - 1.0]\tSes01F_impro99_F000\tang\t[1.0000, 1.0000, 1.0000]"
        (ratings / name / "Ses01F_impro99_e1.txt").write_text(wrong, encoding="utf-8")
    (session / "sentences" / "wav" / ".DS_Store").touch()
    (ratings / ".DS_Store").touch()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Five sessions; in each the dialog of either speaker holds turns of both."""
    root = tmp_path / "IEMOCAP_full_release"
    for number in range(1, 6):
        session = root / f"Session{number}"
        for letter in "FM":
            turns = [(f"{who}{i:03d}", code) for who in "FM" for i, code in enumerate(PROTOCOL)]
            add_dialog(session, f"Ses0{number}{letter}_impro01", [*turns, ("F090", "xxx")])
        add_dialog(session, f"Ses0{number}F_script01_1b", [("M000", "fru"), ("F000", "oth")])
        add_clutter(session)
    return root


def test_speakers_labels_ratings_and_texts(release):
    manifest = adapt_corpus("iemocap", release)
    assert manifest.speakers == tuple(f"Ses0{n}{g}" for n in range(1, 6) for g in "FM")
    assert manifest.sessions == ("Ses01", "Ses02", "Ses03", "Ses04", "Ses05")
    assert manifest.counts() == {
        **dict.fromkeys(("angry", "excited"), 20),
        "frustrated": 5,
        **dict.fromkeys(("happy", "neutral"), 20),
        "other": 5,
        "sad": 20,
    }
    man = next(u for u in manifest if u.path.stem == "Ses01F_impro01_M000")
    assert (man.speaker, man.session, man.gender, man.label) == ("Ses01M", "Ses01", "male", "angry")
    assert (man.valence, man.arousal, man.dominance) == (2.5, 3.0, 3.5)
    assert (man.text, man.start, man.end) == ("Excuse me.", None, None)
    assert man.file == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav"
    assert man.path == release / man.file


def test_utterances_without_agreement_are_counted(release):
    manifest = adapt_corpus("iemocap", release)
    assert len(manifest.skipped) == 10
    assert manifest.skipped[0] == "Ses01F_impro01_F090: raters did not agree on a label (xxx)"


def test_the_parent_folder_and_missing_sessions(release):
    for path in sorted((release / "Session3").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (release / "Session3").rmdir()
    manifest = adapt_corpus("iemocap", release.parent)
    assert manifest.sessions == ("Ses01", "Ses02", "Ses04", "Ses05")
    assert manifest.skipped[0] == "Session3: no such folder"
    assert manifest.utterances[0].file.startswith("IEMOCAP_full_release/Session1/")


@pytest.mark.parametrize(("split", "folds"), [("loso", 5), ("lospo", 10)])
def test_both_protocols_of_the_paper_are_honest(release, split, folds):
    manifest = adapt_corpus("iemocap", release).select(CLASSES, MERGE)
    cut = make_folds(manifest, split, 0, 0.2, "inner")
    assert len(cut) == folds
    hashes = [u.file for u in manifest]
    assert guard(find_leaks(manifest, cut, split, hashes, False), allow_optimistic=False)


def test_the_recipe_gives_the_protocols_5531_utterances(tmp_path):
    codes = [
        code for code, count in {**PROTOCOL, "fru": 40, "xxx": 60}.items() for _ in range(count)
    ]
    for number in range(1, 6):
        turns = [
            ("FM"[i % 2] + f"{i:04d}", code) for i, code in enumerate(codes) if i % 5 == number - 1
        ]
        add_dialog(tmp_path / f"Session{number}", f"Ses0{number}F_impro01", turns)
    manifest = adapt_corpus("iemocap", tmp_path).select(CLASSES, MERGE)
    assert len(manifest) == 5531
    assert manifest.counts() == {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}
    assert len(manifest.speakers) == 10


def test_flac_is_taken_and_missing_audio_counted(release):
    audio = release / "Session2/sentences/wav/Ses02F_impro01"
    (audio / "Ses02F_impro01_F000.wav").rename(audio / "Ses02F_impro01_F000.flac")
    assert len(adapt_corpus("iemocap", release)) == 110
    (audio / "Ses02F_impro01_F000.flac").unlink()
    (audio / "Ses02F_impro01_F090.wav").unlink()
    message = r"wav: 1 of 22 labelled utterances have no .*<dialog>/Ses02F_impro01_F000\.wav; copy"
    with pytest.raises(CorpusError, match=message):
        adapt_corpus("iemocap", release)


def test_another_layout_is_described(tree, release):
    with pytest.raises(CorpusError, match=r"not IEMOCAP; looked for Session1 to .* found a, b;"):
        adapt_corpus("iemocap", tree(["a/x.wav", "b/y.wav"]))
    for file in (release / "Session4/dialog/EmoEvaluation").glob("*.txt"):
        file.unlink()
    with pytest.raises(CorpusError, match=r"EmoEvaluation: no <dialog>\.txt .* Session4/dialog"):
        adapt_corpus("iemocap", release)


def test_labels_that_are_not_iemocaps(release):
    add_dialog(release / "Session1", "Ses01F_impro02", [("F000", "joy")])
    message = r"impro02\.txt: Ses01F_impro02_F000 has the label 'joy', not one of IEMOCAP's"
    with pytest.raises(CorpusError, match=message):
        adapt_corpus("iemocap", release)


def test_ratings_that_rate_nothing(tmp_path):
    add_dialog(tmp_path / "Session1", "Ses01F_impro01", [])
    with pytest.raises(CorpusError, match=r"its EmoEvaluation files rate no utterance"):
        adapt_corpus("iemocap", tmp_path)
