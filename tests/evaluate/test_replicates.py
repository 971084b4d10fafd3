"""Scores over seeds, against computations by hand."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from mfas.errors import RunError
from mfas.evaluate.paired import compare
from mfas.evaluate.replicates import (
    Replicates,
    compare_replicates,
    described,
    read_replicates,
    score_replicates,
)
from mfas.storage import write_csv

FILES = tuple(f"{i:02d}.wav" for i in range(12))
SPEAKERS = tuple("aaaabbbbcccc")
LABELS = tuple("xyxyxyxyxxyz")
FIRST = tuple("xyxyxyxxxxyz"), tuple("xyyyxyxyxxyx")
SECOND = tuple("xxxyxyxxxxyx"), tuple("yyyyxyxyxxxx")


def replicates(predicted: tuple[tuple[str, ...], ...]) -> Replicates:
    return Replicates(FILES, SPEAKERS, LABELS, predicted, tuple(SPEAKERS for _ in predicted))


def write_run(folder: Path, predicted: tuple[str, ...], order: list[int]) -> Path:
    rows = [
        {
            "fold": SPEAKERS[i],
            "file": FILES[i],
            "speaker": SPEAKERS[i],
            "label": LABELS[i],
            "predicted": predicted[i],
        }
        for i in order
    ]
    write_csv(folder / "predictions.csv", list(rows[0]), rows)
    return folder


def test_scores_are_means_over_the_seeds() -> None:
    found = score_replicates(replicates(FIRST), "xyz")
    uas = [balanced_accuracy_score(LABELS, said) for said in FIRST]
    was = [np.mean([a == b for a, b in zip(LABELS, said, strict=True)]) for said in FIRST]
    assert found["ua"] == pytest.approx(np.mean(uas))
    assert found["wa"] == pytest.approx(np.mean(was))
    assert [seed["ua"] for seed in found["by_seed"]] == pytest.approx(uas)
    assert np.sum(found["confusion"]) == 24
    assert found["ua_ci95"][0] <= found["ua"] <= found["ua_ci95"][1]


def test_folds_of_all_seeds_count_alike() -> None:
    found = score_replicates(replicates(FIRST), "xyz")["over_folds"]
    was = [
        np.mean([LABELS[i] == said[i] for i in range(start, start + 4)])
        for said in FIRST
        for start in (0, 4, 8)
    ]
    assert found["folds"] == 6
    assert found["wa"] == pytest.approx([np.mean(was), np.std(was, ddof=1)])


def test_runs_are_read_in_one_order_whatever_theirs(tmp_path: Path) -> None:
    """Folds cut at random test in another order with every seed."""
    order = list(np.random.default_rng(0).permutation(12))
    folders = [
        write_run(tmp_path / "0", FIRST[0], list(range(12))),
        write_run(tmp_path / "1", FIRST[1], [int(i) for i in order]),
    ]
    assert read_replicates(folders) == replicates(FIRST)


def test_runs_of_other_utterances_are_refused(tmp_path: Path) -> None:
    folders = [
        write_run(tmp_path / "0", FIRST[0], list(range(12))),
        write_run(tmp_path / "1", FIRST[1], list(range(11))),
    ]
    with pytest.raises(RunError, match="other utterances than"):
        read_replicates(folders)
    shorter = Replicates(FILES[:11], SPEAKERS[:11], LABELS[:11], (FIRST[0][:11],), ())
    with pytest.raises(RunError, match="cannot be compared"):
        compare_replicates(replicates(FIRST), shorter)


def test_recipes_are_compared_seed_by_seed() -> None:
    found = compare_replicates(replicates(FIRST), replicates(SECOND))
    true, speakers = LABELS * 2, SPEAKERS * 2
    assert found == compare(true, FIRST[0] + FIRST[1], SECOND[0] + SECOND[1], speakers)
    one = compare_replicates(replicates(FIRST), replicates(SECOND[:1]))
    assert one == compare(true, FIRST[0] + FIRST[1], SECOND[0] + SECOND[0], speakers)


def test_a_comparison_says_its_sentence() -> None:
    comparison = compare_replicates(replicates(FIRST), replicates(SECOND))
    table = described(comparison, ("one", "other"))
    assert table["sentence"] == comparison.sentence(("one", "other"))
    assert table["shown"] == comparison.shown
    assert table["ci95"] == [comparison.ci95.low, comparison.ci95.high]
