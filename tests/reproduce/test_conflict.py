"""The conflict bench: its rows, end to end at a tiny size, resumed, refused, and its sentences."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfas.cli import main
from mfas.corpora import ConflictPlan
from mfas.corpora.conflict import KINDS
from mfas.errors import RecipeError, RunError
from mfas.evaluate import verify_run
from mfas.report.conflict import findings
from mfas.reproduce import plan_bench
from mfas.reproduce.conflict import check_conflict, make_conditions
from mfas.storage import read_json, write_json

TINY = [
    *("--voices", "3", "--takes", "1", "--seeds", "0", "--strategies", "last:sum"),
    *("--sec.encoder", "compact", "--tec.encoder", "compact", "--search.method", "random"),
    *("--search.samples", "2", "--evaluate.workers", "1", "--evaluate.bootstrap", "100"),
]
CONDITIONS = ["SEC only", "TEC only", "without adjustment", "last:sum", "searched"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[..., int]]:
    """Where a finished bench lies, and how to give its command again."""
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("bench") / "conflict"

    def run(*more: str) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MFAS_CACHE", str(out.parent / "cache"))
            return main(["bench", "conflict", "--out", str(out), *TINY, *more])

    assert run() == 0
    return out, run


Bench = tuple[Path, Callable[..., int]]


def test_conditions_differ_from_each_other_alone_in_what_they_say(tmp_path: Path) -> None:
    common = plan_bench(tmp_path, ConflictPlan()).common
    recipes = {c.name: c.recipe(common, 4) for c in make_conditions(["last:sum", "first:ism"])}
    facts = {
        name: (recipe.sec.encoder, recipe.tec.encoder, recipe.fusion.strategy)
        for name, recipe in recipes.items()
    }
    sec, tec = "sec-compact", "tec-compact"
    assert facts == {
        "SEC only": (sec, "none", "none"),
        "TEC only": ("none", tec, "none"),
        "without adjustment": (sec, tec, "none"),
        "last:sum": (sec, tec, "last:sum"),
        "first:ism": (sec, tec, "first:ism"),
        "searched": (sec, tec, "search"),
    }
    for recipe in recipes.values():
        assert (recipe.seed, recipe.head.kind) == (4, "ridge")
        assert (recipe.evaluate.split, recipe.evaluate.selection) == ("lospo", "inner")


def test_all_distinct_strategies_are_rows_unless_some_are_named(tmp_path: Path) -> None:
    assert len(plan_bench(tmp_path, ConflictPlan()).conditions) == 3 + 19 + 1
    named = plan_bench(tmp_path, ConflictPlan(), strategies=["last:sum", "last:sum"])
    assert [c.name for c in named.conditions] == CONDITIONS
    own = plan_bench(tmp_path, ConflictPlan(takes=1, own_sentences=True))
    assert own.common.corpus.guard_text
    overrides = ["--head.kind", "coattention", "--search.method", "darts", "--fusion.dim", "128"]
    trained = plan_bench(tmp_path, ConflictPlan(), overrides=overrides).common
    assert (trained.head.kind, trained.search.method) == ("coattention", "darts")


def test_the_bench_has_every_row_and_page(bench: Bench) -> None:
    out, _ = bench
    table = read_json(out / "conflict.json")
    assert [row["name"] for row in table["conditions"]] == CONDITIONS
    assert table["classes"] == {"angry": 15, "happy": 15, "neutral": 3, "sad": 15}
    for row in table["conditions"]:
        assert len(row["cells"]) == 16
        by_kind = {kind: [c for c in row["cells"] if c["kind"] == kind] for kind in KINDS}
        for kind, cells in by_kind.items():
            mean = sum(cell["accuracy"] for cell in cells) / len(cells)
            assert row["kinds"][kind]["accuracy"] == pytest.approx(mean)
        for run in row["runs"]:
            assert verify_run(out / run) == []
            result = read_json(out / run / "result.json")
            assert (result["honest"], result["n_utterances"]) == (True, 48)
            assert row["kinds"]["all, UA"]["accuracy"] == pytest.approx(result["ua"])
    assert sum(table["conditions"][-1]["chosen"].values()) == 3
    page = (out / "report.html").read_text(encoding="utf-8")
    assert all(f"<td>{name}</td>" in page for name in CONDITIONS)
    assert "src=" not in page.replace('src="data:', "")
    assert (out / "conflict.png").read_bytes().startswith(b"\x89PNG")


def changed(folder: Path, row: int, **values: Any) -> None:
    """Another value in the table, as someone would write it who wants another one."""
    table = read_json(folder / "conflict.json")
    table["conditions"][row] |= values
    write_json(folder / "conflict.json", table)


def test_a_bench_verifies_and_what_was_changed_is_named(
    bench: Bench, tmp_path: Path, capsys: Any
) -> None:
    out = Path(shutil.copytree(bench[0], tmp_path / "copy"))
    assert check_conflict(out) == []
    assert main(["verify", str(out)]) == 0
    assert "conflict.json: every number follows from the runs" in capsys.readouterr().out
    changed(out, 3, gain=None)
    (out / "report.html").write_text("another page")
    page, gain = check_conflict(out)
    assert page == "report.html: has changed since conflict.json was made (hash differs)"
    assert gain.startswith("conflict.json: conditions 3: gain is None, the runs give {")
    assert main(["verify", str(out)]) == 1
    assert "gain is None" in capsys.readouterr().out


def test_a_run_of_another_condition_is_not_taken_for_it(bench: Bench, tmp_path: Path) -> None:
    out = Path(shutil.copytree(bench[0], tmp_path / "copy"))
    shutil.rmtree(out / "runs" / "searched-0")
    shutil.copytree(out / "runs" / "last-sum-0", out / "runs" / "searched-0")
    faults = check_conflict(out)
    assert faults[0] == "runs/searched-0: recipe.toml: is not that of searched, seed 0"
    (out / "runs" / "sec-0" / "predictions.csv").unlink()
    with pytest.raises(RunError, match=r"conflict\.json: cannot be checked \(.*predictions\.csv"):
        check_conflict(out)


def test_the_same_command_goes_on(bench: Bench, capsys: Any) -> None:
    out, run = bench
    before = read_json(out / "conflict.json")
    lost = out / "runs" / "last-sum-0" / "result.json"
    kept = out / "runs" / "searched-0" / "result.json"
    written = kept.stat().st_mtime_ns
    lost.unlink()
    assert run() == 0
    after = read_json(out / "conflict.json")
    for table in (before, after):
        del table["files"]["report.html"]  # it says how long things took
        for row in table["conditions"]:
            row.pop("seconds")
    assert after == before
    assert lost.exists()
    assert kept.stat().st_mtime_ns == written
    shown = capsys.readouterr().out
    assert "knowing the words alone" in shown
    assert findings(after)[0] in shown


def test_other_encoders_of_the_same_name_are_not_mixed(bench: Bench, capsys: Any) -> None:
    out, run = bench
    path = out / "runs" / "tec-0" / "result.json"
    original = path.read_bytes()
    result = read_json(path)
    result["encoders"]["tec"]["fingerprint"] = "other"
    write_json(path, result)
    try:
        assert run() == 2
    finally:
        path.write_bytes(original)
    assert "the TEC encoder has changed since it was begun" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--takes", "2"], "was begun with another plan or recipe; name another --out"),
        (["--head.context_seconds", "6"], "was begun with another plan or recipe"),
        (["--takes", "0"], "0 takes; choose"),
        (["--voices", "99"], "99 voices; choose 1 to 16"),
        (["--voices", "8", "--takes", "2", "--own-sentences"], "with own sentences"),
        (["--rule", "irony"], "no rule irony; use one of prosody-first"),
        (["--strategies", "last:mean"], "strategy last:mean: unknown"),
        (["--seeds", "1", "1"], "--seeds must be different numbers from 0 on"),
        (["--fusion.strategy", "none"], "use --out, --seeds and --strategies"),
        (["--corpus.manifest", "x.csv"], "use --out, --seeds and --strategies"),
        (["--sec.encoder", "none"], "both encoders are needed"),
        (["--train.lrr", "1"], "did you mean train.lr?"),
    ],
)
def test_bad_input_is_one_line(bench: Bench, capsys: Any, more: list[str], said: str) -> None:
    out, run = bench
    before = (out / "conflict.json").read_bytes()
    assert run(*more) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert (out / "conflict.json").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["bench", "conflict", "--out", str(tmp_path)]) == 2
    assert "is not empty and holds no bench" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="from 0 on"):
        plan_bench(tmp_path, ConflictPlan(), seeds=(-1,))


def gains(**points: float) -> dict[str, Any]:
    """Of every kind; a difference that is not 0 is shown."""
    sizes = {kind: points.get(kind.replace(" ", "_"), 0.0) for kind in KINDS}
    return {
        kind: {"difference": size, "ci95": [size - 0.01, size + 0.01], "shown": size != 0}
        for kind, size in sizes.items()
    }


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (
            {"conflict": 0.1},
            "A searched adjustment helps where words and prosody conflict: there alone",
        ),
        ({"conflict": 0.1, "agree": 0.1}, "there, and not there alone"),
        ({"agree": 0.1}, "is not shown here"),
        ({}, "is not shown here"),
        ({"conflict": -0.1}, "does not hold here"),
    ],
)
def test_the_sentence_goes_whichever_way_it_falls(
    bench: Bench, points: dict[str, float], said: str
) -> None:
    table = json.loads((bench[0] / "conflict.json").read_text(encoding="utf-8"))
    table["conditions"][-1]["gain"] = gains(**points)
    table["conditions"][-2]["gain"] = gains(**points)
    found = findings(table)
    assert said in found[0]
    better, worse = (
        sum((p * sign) > 0 for k, p in points.items() if k == "conflict") for sign in (1, -1)
    )
    assert f"fixed strategies, {better}" in found[1]
    assert f"conflict, and {worse}" in found[1]
