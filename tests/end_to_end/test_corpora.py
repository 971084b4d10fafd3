"""Corpora in the shape of their releases, from the command line to the folds of the paper."""

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from mfas.cli import main
from mfas.config import read_pretrain_recipe, read_recipe
from mfas.corpora import find_leaks, guard, make_folds, read_manifest

REPOSITORY = Path(__file__).parents[2]
CORPORA = Path(os.environ.get("MFAS_CORPORA", REPOSITORY.parent / "shared" / "corpora"))
SAVEE = {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}
IEMOCAP = ("ang", "hap", "exc", "neu", "sad", "fru", "xxx")


@pytest.fixture
def savee(tmp_path: Path) -> Path:
    folder = tmp_path / "AudioData"
    for speaker in ("DC", "JE", "JK", "KL"):
        (folder / speaker).mkdir(parents=True)
        for code, count in SAVEE.items():
            for number in range(1, count + 1):
                (folder / speaker / f"{code}{number:02d}.wav").touch()
    return folder


@pytest.fixture
def iemocap(tmp_path: Path) -> Path:
    """Five sessions, each with a dialog in which both speakers show every emotion twice."""
    root = tmp_path / "IEMOCAP_full_release"
    for session in range(1, 6):
        dialog = f"Ses0{session}F_impro01"
        ratings = root / f"Session{session}" / "dialog" / "EmoEvaluation"
        audio = root / f"Session{session}" / "sentences" / "wav" / dialog
        for folder in (ratings / "Categorical", audio):
            folder.mkdir(parents=True)
        lines = ["% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]", ""]
        for number, code in enumerate(IEMOCAP * 2):
            for letter in "FM":
                turn = f"{dialog}_{letter}{number:03d}"
                lines.append(f"[6.2901 - 8.2357]\t{turn}\t{code}\t[2.5000, 3.0000, 3.5000]")
                (audio / f"{turn}.wav").touch()
                (audio / f"._{turn}.wav").touch()
        (ratings / f"{dialog}.txt").write_text("\n".join(lines), encoding="utf-8")
        (ratings / f"._{dialog}.txt").write_bytes(b"\0\xff")
        (ratings / "Categorical" / f"{dialog}_e1.txt").write_text(lines[2], encoding="utf-8")
    return root


def honest_folds(manifest, split: str) -> int:
    folds = make_folds(manifest, split, 0, 0.2, "inner")
    leaks = find_leaks(manifest, folds, split, [u.file for u in manifest], False)
    assert guard(leaks, allow_optimistic=False)
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(manifest)))
    return len(folds)


def test_savee(savee, tmp_path, capsys):
    assert main(["corpus", "savee", str(savee), "-o", str(tmp_path / "savee.csv")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"{tmp_path / 'savee.csv'}: 480 utterances, 4 speakers" in printed.out
    assert "per speaker: DC 120, JE 120, JK 120, KL 120" in printed.out
    manifest = read_manifest(tmp_path / "savee.csv")
    assert manifest.counts()["neutral"] == 120
    assert honest_folds(manifest, "lospo") == 4
    assert len(make_folds(manifest, "kfold10", 0, 0.2, "inner")) == 10


def test_iemocap(iemocap, tmp_path, capsys):
    assert main(["corpus", "iemocap", str(iemocap), "-o", str(tmp_path / "iemocap.csv")]) == 0
    printed = capsys.readouterr()
    assert "per class: angry 20, excited 20, frustrated 20, happy 20, neutral 20" in printed.out
    *shown, more = printed.err.splitlines()
    assert len(shown) == 5
    assert all("raters did not agree" in line for line in shown)
    assert more == "skipped: 15 more like these"
    classes = ("angry", "happy", "neutral", "sad")
    manifest = read_manifest(tmp_path / "iemocap.csv").select(classes, {"excited": "happy"})
    assert manifest.counts() == {"angry": 20, "happy": 40, "neutral": 20, "sad": 20}
    assert honest_folds(manifest, "loso") == 5
    assert honest_folds(manifest, "lospo") == 10


RECIPES = sorted((REPOSITORY / "recipes").glob("*.toml"))
PRETRAINING = ("sec-", "tec-", "table2-")


@pytest.mark.parametrize(
    "path", [p for p in RECIPES if p.stem.startswith(PRETRAINING)], ids=lambda p: p.stem
)
def test_the_pretraining_recipes_of_the_repository(path):
    recipe = read_pretrain_recipe(path)
    assert recipe.name == path.stem
    start = recipe.encoder.start
    if start is not None and start.parts[0] == "runs":  # what another recipe leaves
        assert f"{start.name}.toml" in {other.name for other in RECIPES}
    else:
        assert start is None or (REPOSITORY / start / "config.json").is_file()


@pytest.mark.parametrize(
    "path", [p for p in RECIPES if not p.stem.startswith(PRETRAINING)], ids=lambda p: p.stem
)
def test_the_recipes_of_the_repository(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    if path.stem == "best-compact":  # for any corpus
        assert recipe.corpus.manifest is None
        return
    assert recipe.corpus.manifest is not None
    assert path.stem.startswith(recipe.corpus.manifest.stem)
    assert not recipe.corpus.manifest.is_absolute()


@pytest.mark.corpora
@pytest.mark.skipif(not (CORPORA / "emodb").is_dir(), reason="EMO-DB is not here")
def test_the_real_emodb(tmp_path, capsys):
    output = tmp_path / "emodb.csv"
    assert main(["corpus", "emodb", str(CORPORA / "emodb"), "-o", str(output)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines()[:2] == [
        f"{output}: 535 utterances, 10 speakers",
        "per class: anger 127, boredom 81, disgust 46, fear 69, happiness 71, neutral 79, sadness 62",
    ]
    with output.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 535
    assert Counter(row["label"] for row in rows)["anger"] == 127
    assert len({row["speaker"] for row in rows}) == 10
