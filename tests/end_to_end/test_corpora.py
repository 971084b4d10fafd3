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


def honest_folds(manifest, split: str) -> int:
    folds = make_folds(manifest, split, 0, 0.2, "inner")
    leaks = find_leaks(manifest, folds, split, [u.file for u in manifest], False)
    assert guard(leaks, allow_optimistic=False)
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(manifest)))
    return len(folds)


@pytest.mark.parametrize("layout", ["flat", "folders"])
def test_savee(layout, generate_corpus, tmp_path, capsys):
    savee = generate_corpus("savee", "--layout", layout, "--seconds", "0.02")
    capsys.readouterr()
    assert main(["corpus", "savee", str(savee), "-o", str(tmp_path / "savee.csv")]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"{tmp_path / 'savee.csv'}: 480 utterances, 4 speakers" in printed.out
    assert "per speaker: DC 120, JE 120, JK 120, KL 120" in printed.out
    manifest = read_manifest(tmp_path / "savee.csv")
    recipe = read_recipe(REPOSITORY / "recipes" / "savee.toml")
    assert manifest.select(recipe.corpus.classes) == manifest
    assert manifest.counts() == dict.fromkeys(manifest.classes, 60) | {"neutral": 120}
    assert honest_folds(manifest, "lospo") == 4
    assert len(make_folds(manifest, "kfold10", 0, 0.2, "inner")) == 10


def test_iemocap(generate_corpus, tmp_path, capsys):
    iemocap = generate_corpus("iemocap", "--seconds", "0.01")
    capsys.readouterr()
    assert main(["corpus", "iemocap", str(iemocap), "-o", str(tmp_path / "iemocap.csv")]) == 0
    printed = capsys.readouterr()
    assert "7532 utterances, 10 speakers" in printed.out
    assert "disgusted 2, excited 1041, fearful 40, frustrated 1849, happy 595" in printed.out
    *shown, more = printed.err.splitlines()
    assert len(shown) == 5
    assert all("raters did not agree" in line for line in shown)
    assert more == "skipped: 2502 more like these"
    recipe = read_recipe(REPOSITORY / "recipes" / "iemocap-loso.toml")
    manifest = read_manifest(tmp_path / "iemocap.csv")
    manifest = manifest.select(recipe.corpus.classes, recipe.corpus.merge)
    assert manifest.counts() == {"angry": 1103, "happy": 1636, "neutral": 1708, "sad": 1084}
    assert len(manifest) == 5531
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
