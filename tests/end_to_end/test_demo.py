"""`mfas demo`, with a corpus that is smaller than the real one."""

import json

import pytest

from mfas.cli import main
from mfas.config import EvaluateSection, SearchSection, TrainSection
from mfas.evaluate import demo

pytest.importorskip("espeakng_loader")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = demo.demo_recipe

    def quick(manifest):
        hurry = {"search": SearchSection(epochs=1), "train": TrainSection(epochs=1)}
        hurry["evaluate"] = EvaluateSection(workers=1, bootstrap=100)
        return whole(manifest).model_copy(update=hurry)

    monkeypatch.setattr(demo, "VOICES", 3)
    monkeypatch.setattr(demo, "SENTENCES", 1)
    monkeypatch.setattr(demo, "demo_recipe", quick)


def test_the_demo_goes_the_whole_way_and_can_be_shown_again(small, tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    for expected in ("verified: every score", "$ mfas predict ", "emotion", f"report: {out}"):
        assert expected in shown
    result = json.loads((out / "result.json").read_text(encoding="utf-8"))
    assert (result["honest"], result["n_utterances"]) == (True, 12)
    assert (tmp_path / "demo-model" / "config.json").is_file()
    before = (out / "predictions.csv").read_bytes()
    assert main(["demo", "--out", str(out)]) == 0
    assert (out / "predictions.csv").read_bytes() == before


def test_a_demo_does_not_write_over_something_else(small, tmp_path, capsys):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "mine.txt").touch()
    assert main(["demo", "--out", str(tmp_path / "precious")]) == 2
    assert "holds no run to resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["precious"]
