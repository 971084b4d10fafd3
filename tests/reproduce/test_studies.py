"""Rows of the studies: what they change of a recipe, on corpora of every protocol."""

from itertools import chain
from pathlib import Path

import pytest

from mfas.config import Recipe, parse_recipe, read_recipe
from mfas.reproduce.studies import MODELS, PROTOCOLS, STUDIES, Row

RECIPES = Path(__file__).parents[2] / "recipes"
ALL_ROWS = sorted(
    set(chain.from_iterable(study.rows(study.protocols) for study in STUDIES.values())),
    key=lambda row: row.slug,
)


def recipe(**evaluate: object) -> Recipe:
    return parse_recipe({"name": "r", "tec": {"seed": 7}, "evaluate": evaluate})


@pytest.mark.parametrize("name", ["emodb-compact", "emodb-coattention", "iemocap-loso"])
@pytest.mark.parametrize("row", ALL_ROWS, ids=lambda row: row.slug)
def test_every_row_is_a_recipe_of_every_corpus(name: str, row: Row) -> None:
    base = read_recipe(RECIPES / f"{name}.toml")
    changed = row.recipe(base, seed=5)
    assert (changed.seed, changed.name) == (5, f"{name}-{row.slug}")
    kept = ("corpus", "head", "search", "train")
    assert changed.model_dump(include=set(kept)) == base.model_dump(include=set(kept))


def test_one_encoder_stands_alone_in_secs_place() -> None:
    base = recipe()
    tec = Row("tec-alone", "honest").recipe(base, 0)
    assert tec.sec.model_dump() == base.tec.model_dump()
    assert (tec.tec.encoder, tec.fusion.strategy) == ("none", "none")
    sec = Row("sec-alone", "honest").recipe(base, 0)
    assert (sec.sec, sec.tec.encoder, sec.fusion.strategy) == (base.sec, "none", "none")


def test_both_encoders_stand_with_and_without_adjustment() -> None:
    base = parse_recipe({"fusion": {"strategy": "last:ism"}})
    searched = Row("searched", "honest").recipe(base, 0)
    unadjusted = Row("unadjusted", "honest").recipe(base, 0)
    assert (searched.fusion.strategy, unadjusted.fusion.strategy) == ("search", "none")
    assert (searched.sec, searched.tec) == (unadjusted.sec, unadjusted.tec) == (base.sec, base.tec)
    assert Row("as-it-is", "honest").recipe(base, 0).fusion == base.fusion


@pytest.mark.parametrize(
    ("split", "protocol", "expected"),
    [
        ("loso", "honest", ("loso", "inner", False)),
        ("kfold10", "honest", ("lospo", "inner", False)),
        ("loso", "paper", ("loso", "paper", True)),
        ("kfold10", "paper", ("kfold10", "paper", True)),
        ("kfold10", "test-chosen", ("lospo", "paper", True)),
        ("groups:5", "random", ("kfold10", "inner", True)),
    ],
)
def test_protocols(split: str, protocol: str, expected: tuple[str, str, bool]) -> None:
    base = recipe(split=split, selection="paper", allow_optimistic=True)
    evaluate = Row("as-it-is", protocol).recipe(base, 0).evaluate
    assert (evaluate.split, evaluate.selection, evaluate.allow_optimistic) == expected


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES.keys())
def test_studies_compare_rows_that_they_have(study) -> None:
    rows = set(study.rows(study.protocols))
    assert set(chain.from_iterable(study.pairs)) <= rows
    assert {row.model for row in rows} <= set(MODELS)
    assert {row.protocol for row in rows} <= set(PROTOCOLS)


def test_the_papers_rows_stand_beside_ours() -> None:
    printed = {MODELS[model].printed for model in STUDIES["table4"].models}
    (loso,) = STUDIES["table4"].printed.values()
    assert set(loso) == printed
    assert loso["MFAS"] == STUDIES["table3"].printed["IEMOCAP, leave one session out"]["MFAS"]


def test_only_the_protocols_asked_for() -> None:
    rows = STUDIES["table4"].rows(("honest",))
    assert [row.slug for row in rows] == [
        "tec-alone-honest",
        "sec-alone-honest",
        "unadjusted-honest",
        "searched-honest",
    ]
    assert STUDIES["fig3"].rows(("honest", "paper")) == (Row("searched", "honest"),)
