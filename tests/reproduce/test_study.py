"""A study end to end on tones: what runs, what is put together, and that it can be checked."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mfas.cli import main
from mfas.config import Recipe
from mfas.errors import RecipeError, RunError
from mfas.evaluate import crossval, verify_run
from mfas.evaluate.replicates import compare_replicates, read_replicates
from mfas.report.study import sentences
from mfas.reproduce import STUDIES, check_study, run_study, tables_in
from mfas.reproduce import study as study_module
from mfas.reproduce.studies import MODELS, Row
from mfas.storage import read_csv, read_json, write_csv, write_json

CLOSED = (
    *("--head.kind", "ridge", "--search.method", "random", "--search.samples", "2"),
    *("--evaluate.split", "groups:2"),
)
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def closed(quick_recipe: Callable[..., Recipe]) -> Recipe:
    return quick_recipe(*CLOSED)


@pytest.fixture(scope="module")
def done(closed: Recipe, tmp_path_factory: pytest.TempPathFactory, tone_cache: Path) -> Path:
    """Table 4 and Fig. 4, honest, and an audit, in one folder; only to be read."""
    out = tmp_path_factory.mktemp("studies") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFAS_CACHE", str(tone_cache))
        run_study("table4", [closed], SEEDS, ("honest",), out)
        patch.setattr(study_module, "cross_validate", only_what_is_there(out))
        run_study("fig4", [closed], SEEDS, ("honest",), out)
        run_study("fig3", [closed], SEEDS, ("honest",), out)
    return out


def only_what_is_there(out: Path) -> Callable[..., object]:
    """A cross-validation that fails if it has anything to do."""

    def run(recipe: Recipe, folder: Path, **others: object) -> object:
        assert (folder / "result.json").exists(), f"{folder} is run twice"
        return crossval.cross_validate(recipe, folder, **others)

    return run


@pytest.fixture
def copied(done: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done, tmp_path / "copy"))


def test_every_row_and_seed_is_a_run_that_holds_up(done: Path) -> None:
    folders = sorted(path.name for path in (done / "quick").iterdir())
    models = ("searched", "sec-alone", "tec-alone", "unadjusted")
    assert folders == [f"{model}-honest-s{seed}" for model in models for seed in SEEDS]
    assert all(verify_run(done / "quick" / name) == [] for name in folders)


def test_the_table_is_what_the_runs_say(done: Path) -> None:
    table = read_json(done / "table4.json")
    (corpus,) = table["corpora"]
    by_model = {row["model"]: row for row in corpus["rows"]}
    for model, row in by_model.items():
        results = [
            read_json(done / "quick" / f"{model}-honest-s{seed}" / "result.json") for seed in SEEDS
        ]
        assert [seed["ua"] for seed in row["by_seed"]] == [result["ua"] for result in results]
        assert row["ua"] == pytest.approx(sum(result["ua"] for result in results) / 2)
        assert row["measured"]["honest"] is True
    assert len(by_model["searched"]["strategies"]) == 4, "two folds, two seeds"
    assert by_model["unadjusted"]["strategies"] == []


def test_comparisons_are_those_of_the_runs(done: Path) -> None:
    (corpus,) = read_json(done / "table4.json")["corpora"]
    pairs = {(c["first"], c["second"]): c for c in corpus["comparisons"]}
    assert len(pairs) == 4
    runs = {
        model: read_replicates([done / "quick" / f"{model}-honest-s{seed}" for seed in SEEDS])
        for model in ("searched", "unadjusted")
    }
    found = compare_replicates(runs["searched"], runs["unadjusted"])
    recorded = pairs["searched-honest", "unadjusted-honest"]
    assert recorded["difference"] == found.difference
    said = sentences(read_json(done / "table4.json"))
    assert f"quick: {recorded['sentence']}." in said


def test_pages_and_figures_stand_beside_the_tables(done: Path) -> None:
    for name in ("table4", "fig3", "fig4"):
        assert (done / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        page = (done / f"{name}.html").read_text()
        assert "honest" in page and "<script" not in page and "http://" not in page
    page = (done / "table4.html").read_text()
    for row in read_json(done / "table4.json")["corpora"][0]["rows"]:
        assert row["name"] in page or row["name"].replace("'", "&#39;") in page
    assert "72.9" in page, "the paper's number"


def test_figure_3_says_how_far_searches_agree(done: Path) -> None:
    table = read_json(done / "fig3.json")
    (sentence,) = sentences(table)
    assert sentence.startswith("quick: of 4 searches, one a fold and seed, ")


def test_what_was_written_can_be_computed_again(done: Path) -> None:
    tables = tables_in(done)
    assert set(tables) == {"table4.json", "fig3.json", "fig4.json"}
    assert all(check() == [] for check in tables.values())


def test_a_changed_number_of_the_table_is_found(copied: Path) -> None:
    table = read_json(copied / "table4.json")
    table["corpora"][0]["rows"][3]["ua"] += 0.01
    table["corpora"][0]["comparisons"][0]["sentence"] = "it is better"
    write_json(copied / "table4.json", table)
    first, second = check_study(copied, "table4")
    assert first.startswith("table4.json: corpora 0: rows 3: ua is ")
    assert second.startswith("table4.json: corpora 0: comparisons 0: sentence is it is better, ")


def test_a_changed_prediction_of_a_run_is_found(copied: Path) -> None:
    path = copied / "quick" / "searched-honest-s1" / "predictions.csv"
    rows = read_csv(path)
    labels = sorted({row["label"] for row in rows})
    rows[0]["predicted"] = next(label for label in labels if label != rows[0]["predicted"])
    write_csv(path, list(rows[0]), rows)
    faults = check_study(copied, "table4")
    assert "quick/searched-honest-s1: predictions.csv: has changed since the run" in faults[0]
    assert any(fault.startswith("table4.json: corpora 0: rows 3: ua is ") for fault in faults)


def test_a_changed_page_and_a_lost_row_are_found(copied: Path) -> None:
    (copied / "table4.png").write_bytes(b"another picture")
    table = read_json(copied / "table4.json")
    lost = table["corpora"][0]["rows"].pop()
    assert lost["model"] == "searched"
    write_json(copied / "table4.json", table)
    faults = check_study(copied, "table4")
    assert faults[0] == "table4.png: has changed since table4.json was made (hash differs)"
    assert any(fault.startswith("table4.json: corpora 0: rows is ") for fault in faults)


@pytest.mark.parametrize("other", ["searched-honest-s0", "unadjusted-honest-s1"])
def test_a_run_of_another_row_or_seed_is_not_taken_for_it(copied: Path, other: str) -> None:
    place = copied / "quick" / "searched-honest-s1"
    shutil.rmtree(place)
    shutil.copytree(copied / "quick" / other, place)
    with pytest.raises(RunError, match="searched-honest-s1: is not the run of its row and seed"):
        check_study(copied, "table4")


def test_an_optimistic_run_is_not_taken_for_an_honest_one(
    copied: Path, closed: Recipe, tone_cache: Path
) -> None:
    place = copied / "quick" / "unadjusted-honest-s1"
    shutil.rmtree(place)
    optimistic = Row("unadjusted", "paper").recipe(closed, 1)
    named = optimistic.model_copy(update={"name": "quick-unadjusted-honest"})
    crossval.cross_validate(named, place, cache=tone_cache)
    with pytest.raises(RunError, match="is not the run of its row and seed"):
        check_study(copied, "table4")


def test_a_study_that_was_interrupted_goes_on(
    copied: Path, closed: Recipe, tone_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFAS_CACHE", str(tone_cache))
    whole = read_json(copied / "table4.json")
    shutil.rmtree(copied / "quick" / "sec-alone-honest-s1")
    again = run_study("table4", [closed], SEEDS, ("honest",), copied)
    for table in (whole, again):
        del table["files"]["table4.html"]  # it says how long things took
        for row in table["corpora"][0]["rows"]:
            del row["seconds"]
    assert again == json.loads(json.dumps(whole))


def test_the_search_is_held_against_the_average_candidate(
    copied: Path, closed: Recipe, tone_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two candidates stand for nineteen."""
    monkeypatch.setenv("MFAS_CACHE", str(tone_cache))
    few = tuple(MODELS[f"fixed-last-{operation}"] for operation in ("sum", "attention_r"))
    study = replace(STUDIES["candidates"], models=("searched", *(model.slug for model in few)))
    monkeypatch.setitem(STUDIES, "candidates", study)
    monkeypatch.setattr(study_module, "CANDIDATES", few)
    table = run_study("candidates", [closed], SEEDS, ("honest",), copied)
    searched, *candidates = table["corpora"][0]["rows"]
    (compared,) = table["corpora"][0]["comparisons"]
    mean = sum(row["ua"] for row in candidates) / len(candidates)
    assert compared["difference"] == pytest.approx(searched["ua"] - mean)
    assert compared["names"][1] == "the average candidate (honest)"
    assert check_study(copied, "candidates") == []


def test_runs_of_other_weights_are_not_mixed(copied: Path) -> None:
    """As after an encoder of the package was replaced by a better one of the same name."""
    path = copied / "quick" / "sec-alone-honest-s1" / "result.json"
    result = read_json(path)
    result["encoders"]["sec"]["fingerprint"] = "0" * 64
    write_json(path, result)
    with pytest.raises(RunError, match="encoders have changed since it was begun"):
        check_study(copied, "table4")


def test_bad_wishes_are_refused(copied: Path, closed: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="two recipes of the same name: quick"):
        run_study("table4", [closed, closed], SEEDS, ("honest",), tmp_path)
    with pytest.raises(RecipeError, match="fig3: not run under paper; --protocols honest"):
        run_study("fig3", [closed], SEEDS, ("paper",), tmp_path)
    outside = closed.model_copy(update={"name": "../q"})
    with pytest.raises(RecipeError, match=r"\.\./q: names a folder here"):
        run_study("table4", [outside], SEEDS, ("honest",), tmp_path)
    alone = closed.model_copy(update={"tec": closed.tec.model_copy(update={"encoder": "none"})})
    with pytest.raises(RecipeError, match="one encoder is none"):
        run_study("fig3", [alone], SEEDS, ("honest",), tmp_path)
    with pytest.raises(RecipeError, match="a seed twice: 1"):
        run_study("table4", [closed], (1, 1), ("honest",), tmp_path)
    other = closed.model_copy(update={"fusion": closed.fusion.model_copy(update={"dim": 8})})
    with pytest.raises(RunError, match="was started with another recipe"):
        run_study("table4", [other], SEEDS, ("honest",), copied)
    for torn in ("{}", '{"format": 1, "corp'):
        (copied / "table4.json").write_text(torn)
        with pytest.raises(RunError, match="make it again"):
            check_study(copied, "table4")


def test_audit_says_what_each_leak_adds(
    tone_corpus: Path,
    tone_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """From the command line: three protocols of one recipe, in pairs with the honest one."""
    monkeypatch.setenv("MFAS_CACHE", str(tone_cache))
    recipe = tmp_path / "tones.toml"
    recipe.write_text(
        f'[corpus]\nmanifest = "{tone_corpus}"\n[sec]\nencoder = "compact"\n[tec]\nencoder = "none"\n'
        '[fusion]\nstrategy = "none"\n[head]\nkind = "ridge"\n'
    )
    out = tmp_path / "audit"
    arguments = ["audit", str(recipe), "--seeds", "0", "1", "--out", str(out)]
    assert main([*arguments, "--evaluate.workers", "1"]) == 0
    said = capsys.readouterr().out
    table = read_json(out / "audit.json")
    rows = {row["protocol"]: row for row in table["corpora"][0]["rows"]}
    assert list(rows) == ["honest", "test-chosen", "random"]
    assert [row["measured"]["honest"] for row in rows.values()] == [True, False, False]
    assert all(row["measured"]["leaks"] for name, row in rows.items() if name != "honest")
    compared = table["corpora"][0]["comparisons"]
    assert [c["first"] for c in compared] == ["as-it-is-test-chosen", "as-it-is-random"]
    for c in compared:
        protocol = c["first"].removeprefix("as-it-is-")
        assert c["difference"] == pytest.approx(rows[protocol]["ua"] - rows["honest"]["ua"])
        assert c["sentence"] in said.replace("\n", " ")
    assert "OPTIMISTIC" in said
    assert main(["verify", str(out)]) == 0
    assert "audit.json: every number follows from the runs" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["audit"], ["search", "--compare", "--out", "x"]])
def test_one_seed_is_refused_where_several_are_run(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be replaced by them, silently."""
    recipe = str(Path(__file__).parents[2] / "recipes" / "emodb-compact.toml")
    assert main([command[0], recipe, *command[1:], "--seed", "5"]) == 2
    said = capsys.readouterr().err
    assert said == "mfas: --seed: several are run here; name them with --seeds\n"
