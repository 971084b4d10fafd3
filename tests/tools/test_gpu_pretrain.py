"""A stage of pretraining on a GPU, here on the CPU: its recipes, its limits, what it prints."""

import importlib.util
from pathlib import Path

import pytest
import torch

from mfas.config import PretrainRecipe, read_pretrain_recipe
from mfas.corpora import read_manifest
from mfas.storage import write_csv

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def gpu_pretrain():
    spec = importlib.util.spec_from_file_location("gpu_pretrain", TOOLS / "gpu_pretrain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_stage_is_a_valid_recipe(gpu_pretrain, tmp_path):
    for stage in gpu_pretrain.GPU:
        recipe = gpu_pretrain.stage_recipe(stage, tmp_path / "speech.csv", tmp_path)
        assert recipe.optimize.precision == "bf16"
        assert recipe.optimize.compile == torch.cuda.is_available()
        assert recipe.speech.manifest == tmp_path / "speech.csv"
    assert recipe.encoder.size == "table1"


def test_ctc_starts_from_the_quantised_stage(gpu_pretrain, tmp_path):
    recipe = gpu_pretrain.stage_recipe("ctc", tmp_path / "speech.csv", tmp_path)
    assert recipe.encoder.start == tmp_path / "quantised"


def test_operations_grow_with_the_encoder(gpu_pretrain):
    recipes = [
        read_pretrain_recipe(TOOLS.parent / "recipes" / f"{name}.toml")
        for name in ("sec-compact", "table2-k4")
    ]
    compact, table1 = map(gpu_pretrain.flops_per_audio_second, recipes)
    # a layer costs 2 operations a weight and frame forwards, twice that backwards
    least = 3 * 2 * 50 * 4 * (4 * 512**2 + 2 * 512 * 2048)
    assert table1 > least
    assert table1 > 5 * compact


def test_a_stage_stops_in_time_and_goes_on(gpu_pretrain, tone_corpus, tmp_path, capsys):
    speech = tmp_path / "speech.csv"
    rows = [{"file": str(u.path), "speaker": u.speaker} for u in read_manifest(tone_corpus)]
    write_csv(speech, ["file", "speaker"], rows)
    small = {"updates": 2, "batch_seconds": 2, "checkpoint_every": 1, "log_every": 1}
    overrides = [p for key, value in small.items() for p in (f"--optimize.{key}", str(value))]
    command = [str(speech), "sec", "--out", str(tmp_path), "--minutes", "0", *overrides]
    command += ["--speech.crop_seconds", "[0.5]", "--optimize.precision", "float32"]
    for said in ("the same command goes on", "finished"):
        gpu_pretrain.main(command)
        printed = capsys.readouterr().out
        assert said in printed
        assert "audio-seconds a second" in printed
    assert isinstance(read_pretrain_recipe(tmp_path / "sec" / "recipe.toml"), PretrainRecipe)
