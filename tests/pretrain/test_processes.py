"""`mfas pretrain` on two processes (torchrun, CPU) does what it does on one."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mfas.config import PretrainRecipe, recipe_to_toml
from mfas.pretrain import pretrain
from mfas.storage import write_csv

OBJECTIVES = ("continuous", "quantised", "ctc")
TWO_VIEWS = ("--ctc.consistency", "0.5", "--ctc.time_masks", "4", "--ctc.time_mask_share", "0.3")
# run every command of the list, one after the other, and write down how each ended
WORKER = """
import contextlib, io, json, os, sys
from pathlib import Path
from mfas.cli import main
commands, report = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
endings = []
for command in commands:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    endings.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
(report / f"{os.environ['RANK']}.json").write_text(json.dumps(endings))
"""


@pytest.fixture(scope="module")
def even_manifest(
    voice: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Recordings of one length, so that two processes batch them as one does."""
    folder = tmp_path_factory.mktemp("even")
    rows = []
    for number in range(24):
        soundfile.write(folder / f"{number}.wav", voice(12_800, seed=number), 16_000)
        speaker = ("ada", "bea", "cyd", "dan")[number // 6]
        rows.append({"file": f"{number}.wav", "speaker": speaker, "text": "abc"})
    write_csv(folder / "even.csv", ["file", "speaker", "text"], rows)
    return folder / "even.csv"


class Both:
    """What two processes left: a folder for each name, and how each process ended."""

    def __init__(self, folder: Path, endings: dict[str, list[dict[str, Any]]]) -> None:
        self.folder, self.endings = folder, endings


@pytest.fixture(scope="module")
def recipes(make_recipe: Callable[..., PretrainRecipe], even_manifest: Path) -> dict[str, Any]:
    alike = ["--encoder.dropout", "0", "--speech.manifest", str(even_manifest)]
    found = {name: make_recipe(*alike, *TWO_VIEWS, objective=name) for name in OBJECTIVES}
    wild = ["--optimize.lr", "1e6", "--optimize.warmup", "0", "--optimize.updates", "30"]
    strict = ["--guards.effective_rank", "1000", "--optimize.log_every", "1"]
    played = ["--speech.speeds", "[0.9, 1.0, 1.1]", "--quantised.mel_weight", "0.5"]
    gone = ["--speech.manifest", str(even_manifest.with_name("gone.csv"))]
    return found | {
        "auto": make_recipe(*alike, "--optimize.device", "auto"),
        "played": make_recipe(*alike, *played, objective="quantised"),
        "diverges": make_recipe(*alike, *wild),
        "collapses": make_recipe(*alike, *strict, "--optimize.updates", "40"),
        "no manifest": make_recipe(*gone),
    }


@pytest.fixture(scope="module")
def both(recipes: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Both:
    """All recipes, by two processes that start together with an empty cache."""
    folder = tmp_path_factory.mktemp("both")
    commands = []
    for name, recipe in recipes.items():
        (folder / f"{name}.toml").write_text(recipe_to_toml(recipe), encoding="utf-8")
        out = str(folder / name)
        commands.append(["pretrain", str(folder / f"{name}.toml"), "--out", out])
    commands.append([*commands[0], "--resume"])
    (folder / "commands.json").write_text(json.dumps(commands), encoding="utf-8")
    (folder / "worker.py").write_text(WORKER, encoding="utf-8")
    launch = [sys.executable, "-W", "error::FutureWarning", "-m", "torch.distributed.run"]
    launch += ["--standalone", "--nproc-per-node", "2", str(folder / "worker.py")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFAS_CACHE", str(folder / "cache"))
        patch.setenv("PYTHONWARNINGS", "error::FutureWarning")
        done = subprocess.run(
            [*launch, str(folder / "commands.json"), str(folder)],
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]
    names = [*recipes, "resumed"]
    return Both(folder, {n: [rank[i] for rank in ranks] for i, n in enumerate(names)})


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("objective", [*OBJECTIVES, "auto", "played"])
def test_two_processes_do_what_one_does(objective, both, recipes, tmp_path, weights):
    assert [ending["code"] for ending in both.endings[objective]] == [0, 0], both.endings
    pretrain(recipes[objective], tmp_path / "one")
    one, two = lines_of(tmp_path / "one"), lines_of(both.folder / objective)
    assert [line["update"] for line in one] == [line["update"] for line in two]
    ours_alone = {"effective_rank", "target_variance", "prediction_variance"}  # means of processes
    for line, other in zip(one, two, strict=True):
        for name in line.keys() - ours_alone:
            if "second" not in name or name == "audio_seconds":
                assert other[name] == pytest.approx(line[name], rel=1e-4, abs=1e-4), name
    for name, tensor in weights(tmp_path / "one").items():
        other = weights(both.folder / objective)[name]
        assert np.abs(tensor.numpy() - other.numpy()).max() < 1e-4, name
    results = [
        json.loads((f / "result.json").read_text())
        for f in (tmp_path / "one", both.folder / objective)
    ]
    assert [result["processes"] for result in results] == [1, 2]
    for name in ("held_out_speakers", "speakers", "speech_seconds", "left_out", "updates"):
        assert results[0][name] == results[1][name]


def test_one_process_writes_and_speaks(both):
    for name in (*OBJECTIVES, "auto"):
        first, second = both.endings[name]
        assert f"{both.folder / name}: 9 updates, loss " in first["out"]
        assert (second["out"], first["err"], second["err"]) == ("", "", "")
        boards = list((both.folder / name / "tensorboard").iterdir())
        assert len(boards) == 1
        assert not list((both.folder / name).glob("*checkpoint*"))


def test_the_speech_is_decoded_once(both):
    names = [path.suffix for path in (both.folder / "cache" / "speech").iterdir()]
    assert sorted(names) == [".i16", ".json"]


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("diverges", 1, "mfas: training diverged by update"),
        ("collapses", 1, "mfas: collapsed by update"),
        ("no manifest", 2, "gone.csv: no such manifest"),
    ],
)
def test_all_processes_stop_together(name, code, said, both):
    first, second = both.endings[name]
    assert first == second
    assert first["code"] == code
    assert said in first["err"]
    assert first["err"].count("\n") == 1
    assert not (both.folder / name / "config.json").exists()


def test_a_finished_run_is_left_alone(both):
    assert [ending["code"] for ending in both.endings["resumed"]] == [0, 0]
