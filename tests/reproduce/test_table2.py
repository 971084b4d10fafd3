"""Table 2: nine configurations from recipes or from code, the grid end to end, its page."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mfas.cli import main
from mfas.config import read_pretrain_recipe
from mfas.errors import RunError
from mfas.report.table2 import verdicts
from mfas.reproduce import CONFIGURATIONS, PRINTED, reproduce_table2, table2_recipe
from mfas.reproduce.table2 import check_table2
from mfas.storage import read_csv, read_json, write_csv, write_json

RECIPES = Path(__file__).parents[2] / "recipes"
TINY = [
    *("--encoder.size", "compact", "--encoder.dropout", "0.0"),
    *("--speech.crop_seconds", "[0.5]", "--optimize.batch_seconds", "2"),
    *("--optimize.log_every", "1", "--optimize.checkpoint_every", "2", "--quantised.dim", "16"),
]


@pytest.fixture(scope="module")
def speech(voice: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight recordings of two speakers, without labels."""
    folder = tmp_path_factory.mktemp("speech")
    rows = []
    for number in range(8):
        soundfile.write(folder / f"{number}.wav", voice(12_000, seed=number), 16_000)
        rows.append({"file": f"{number}.wav", "speaker": "ab"[number % 2]})
    write_csv(folder / "speech.csv", ["file", "speaker"], rows)
    return folder / "speech.csv"


@pytest.fixture(scope="module")
def valued_corpus(tone_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tone corpus with valence, arousal and dominance."""
    rows = read_csv(tone_corpus)
    for number, row in enumerate(rows):
        row["file"] = str(tone_corpus.parent / row["file"])
        values = {"calm": 2.0, "glad": 4.5, "tense": 3.0}[row["label"]], 1 + number % 5, 3
        row |= dict(zip(("valence", "arousal", "dominance"), map(str, values), strict=True))
    target = tmp_path_factory.mktemp("valued") / "valued.csv"
    write_csv(target, list(rows[0]), rows)
    return target


@pytest.fixture(scope="module")
def table(
    speech: Path, tone_corpus: Path, valued_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The whole grid, tiny; where it lies, and what it found."""
    out = tmp_path_factory.mktemp("table") / "out"
    recipe = table2_recipe(speech, 4, TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFAS_CACHE", str(out.parent / "cache"))
        found = reproduce_table2(recipe, [tone_corpus, valued_corpus], out)
    return out, found


def test_recipes_are_the_nine_rows() -> None:
    common = table2_recipe(Path("speech.csv"), 2000)
    assert [c.name for c in CONFIGURATIONS] == list(PRINTED["SAVEE 10-fold"])
    for configuration in CONFIGURATIONS:
        written = read_pretrain_recipe(RECIPES / f"table2-{configuration.slug}.toml")
        assert written == configuration.recipe(common)


def test_centres_are_the_papers() -> None:
    assert [c.centres for c in CONFIGURATIONS] == [4, 16, 64, 144, 4096, *[None] * 4]


def test_grid_has_every_row_and_page(table: tuple[Path, dict[str, Any]]) -> None:
    out, found = table
    assert [row["name"] for row in found["rows"]] == [c.name for c in CONFIGURATIONS]
    for row in [*found["rows"], *found["baselines"]]:
        assert set(row["probes"]) == {"manifest", "valued"}
        assert row["probes"]["manifest"]["vad"] is None
        assert len(row["probes"]["valued"]["vad"]["mse"]) == 3
    page = (out / "report.html").read_text()
    assert all(f"<td>{c.name}</td>" in page for c in CONFIGURATIONS)
    assert "1.02/0.54/0.71" in page  # the paper's number for G2 V2
    assert (out / "table2.png").read_bytes().startswith(b"\x89PNG")
    assert read_json(out / "table2.json") == json.loads(json.dumps(found))


def test_rerun_does_nothing_again(
    table: tuple[Path, dict[str, Any]], speech: Path, tone_corpus: Path, valued_corpus: Path
) -> None:
    out, found = table
    written = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.parent.parent != out.parent}
    before = {p: t for p, t in written.items() if "pretrain" in p.parts or "probes" in p.parts}
    again = reproduce_table2(table2_recipe(speech, 4, TINY), [tone_corpus, valued_corpus], out)
    assert again == found
    assert before
    assert all(p.stat().st_mtime_ns == t for p, t in before.items())


def test_missing_probe_is_done_again(
    table: tuple[Path, dict[str, Any]], speech: Path, tone_corpus: Path, valued_corpus: Path
) -> None:
    out, found = table
    probe = out / "probes" / "k1-manifest.json"
    probe.unlink()
    again = reproduce_table2(table2_recipe(speech, 4, TINY), [tone_corpus, valued_corpus], out)
    assert probe.exists()
    assert again == found


def test_a_table_verifies_and_what_was_changed_is_named(
    table: tuple[Path, dict[str, Any]], tmp_path: Path, capsys: Any
) -> None:
    out = Path(shutil.copytree(table[0], tmp_path / "copy"))
    assert main(["verify", str(out)]) == 0
    assert "table2.json: every number follows from the runs" in capsys.readouterr().out
    probe = out / "probes" / "k1-manifest.json"
    write_json(probe, read_json(probe) | {"ua": 0.99})
    shutil.copy(out / "pretrain" / "k2" / "model.safetensors", out / "pretrain" / "k1")
    shutil.copy(out / "pretrain" / "k2" / "recipe.toml", out / "pretrain" / "k3")
    (out / "curves.png").unlink()
    recorded = read_json(out / "table2.json")
    recorded["rows"][0]["failed"] = "collapsed"
    del recorded["rows"][1]["failed"]
    del recorded["files"]["report.html"]
    write_json(out / "table2.json", recorded)
    *others, ua = check_table2(out)
    assert others == [
        "pretrain/k1: model.safetensors: has changed since the run (hash differs)",
        "pretrain/k3: recipe.toml: is not that of its row",
        "table2.json: holds no hash of report.html",
        "curves.png: is missing",
        "probes/k1-manifest.json: has changed since table2.json was made (hash differs)",
        "table2.json: rows 0: failed is collapsed, the runs give None",
        "table2.json: rows 1: failed is missing, the runs give None",
    ]
    assert ua.startswith("table2.json: rows 5: probes: manifest: ua is ")
    assert ua.endswith(", the runs give 0.99")
    (out / "pretrain" / "k4" / "log.jsonl").unlink()
    with pytest.raises(RunError, match=r"table2\.json: cannot be checked \(.*log\.jsonl"):
        check_table2(out)


def test_other_recipe_is_refused(
    table: tuple[Path, dict[str, Any]], speech: Path, tone_corpus: Path, capsys: Any
) -> None:
    arguments = ["--speech", str(speech), "--corpora", str(tone_corpus), "--steps", "5"]
    code = main(["reproduce", "table2", *arguments, "--out", str(table[0]), *TINY])
    error = capsys.readouterr().err
    assert code == 2
    assert "another recipe or corpora" in error
    assert error.count("\n") == 1


def test_collapsed_configuration_is_a_row(
    speech: Path, tone_corpus: Path, tmp_path: Path, capsys: Any
) -> None:
    doomed = [*TINY, "--guards.perplexity", "1000", "--guards.grace", "0"]
    arguments = ["--speech", str(speech), "--corpora", str(tone_corpus), "--steps", "4"]
    code = main(["reproduce", "table2", *arguments, "--out", str(tmp_path / "out"), *doomed])
    assert code == 0
    rows = read_json(tmp_path / "out" / "table2.json")["rows"]
    assert all("perplexity" in row["failed"] for row in rows if row["centres"])
    assert not any(row["failed"] for row in rows if not row["centres"])
    assert "no verdict" in capsys.readouterr().out
    assert check_table2(tmp_path / "out") == []
    assert "gave no encoder: collapsed" in (tmp_path / "out" / "report.html").read_text()


def test_verdict_goes_either_way() -> None:
    def rows(quantised: float, continuous: float) -> dict[str, Any]:
        def row(centres: int | None, ua: float) -> dict[str, Any]:
            return {"centres": centres, "failed": None, "probes": {"c": {"ua": ua}}}

        return {"corpora": {"c": {}}, "rows": [row(4, quantised), row(None, continuous)]}

    assert " holds here" in verdicts(rows(0.5, 0.6))[0]
    assert " does not hold here" in verdicts(rows(0.6, 0.5))[0]
