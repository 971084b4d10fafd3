"""Wrong recipes, and recipe keys given as arguments."""

import pytest

from mfas.cli import commands


def test_a_recipe_that_is_not_there_or_a_folder(refusal, tmp_path):
    for command in (["crossval"], ["search", "--out", "o"], ["train", "--out", "o"]):
        line = refusal(*command, tmp_path / "gone.toml")
        assert line == (
            f"mfas: {tmp_path / 'gone.toml'}: no such recipe; recipes are TOML files, see recipes/"
        )
    assert f"{tmp_path}: no such recipe" in refusal("crossval", tmp_path)


@pytest.mark.parametrize("content", [b"[corpus\n", b"name = \xff", b"\0", b"[corpus]\n[corpus]\n"])
def test_a_recipe_that_is_not_toml(content, refusal, tmp_path):
    (tmp_path / "r.toml").write_bytes(content)
    assert f"{tmp_path / 'r.toml'}: not valid TOML" in refusal("crossval", tmp_path / "r.toml")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["--train.lrr", "1"], "unknown key train.lrr; did you mean train.lr?"),
        (["--evaluate.splits=loso"], "unknown key evaluate.splits; did you mean evaluate.split?"),
        (["--sede", "1"], "unknown key sede; did you mean seed?"),
        (["--zzz.qqq", "1"], "unknown key zzz; see mfas crossval --help"),
        (["--name.x", "1"], "--name.x: 'name' is not a table"),
        (["--train.epochs", "ten"], "train.epochs = 'ten': input should be a valid integer"),
        (["--train.epochs", "0"], "train.epochs = 0: input should be greater than or equal to 1"),
        (["--train.lr", "-1"], "train.lr = -1: input should be greater than 0"),
        (["--train.lr=nan"], "train.lr = nan: input should be"),
        (["--evaluate.split", "lospeo"], "evaluate.split = 'lospeo': no such split; use loso"),
        (["--evaluate.split", "groups:0"], "evaluate.split = 'groups:0': no such split; use loso"),
        (["--search.method", "bayes"], "search.method = 'bayes': input should be 'darts'"),
        (["--corpus.classes", "calm"], "corpus.classes = 'calm': input should be a valid tuple"),
        (["--train.epochs"], "--train.epochs: has no value; write --train.epochs VALUE"),
        (["stray"], "stray: not an option; recipe keys are given as --section.key"),
    ],
)
def test_wrong_keys_and_values(overrides, said, refusal, recipe, tmp_path):
    assert said in refusal("crossval", recipe, "--out", tmp_path / "run", *overrides)


def test_wrong_keys_in_the_file_name_the_file(refusal, recipe):
    recipe.write_text("[train]\nepoch = 3\n", encoding="utf-8")
    line = refusal("crossval", recipe)
    assert line == f"mfas: {recipe}: unknown key train.epoch; did you mean train.epochs?"


def test_keys_stand_anywhere(recipe, mfas, monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr(commands, "crossval", lambda options: seen.append(options) or 0)
    mfas("crossval", "--train.lr", "-1", recipe, "--seed", "3", "--out", "run", "--sec.seed=4")
    options = seen[0]
    assert (options.recipe, options.out.name) == (recipe, "run")
    assert options.overrides == ["--train.lr", "-1", "--seed", "3", "--sec.seed=4"]
    mfas("crossval", "--seed", "3", recipe)
    assert (seen[1].recipe, seen[1].overrides) == (recipe, ["--seed", "3"])


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["--fusion.strategy", "last:add"], "strategy last:add: unknown; levels are first"),
        (["--fusion.strategy", "best"], "strategy best:: unknown; levels are first, middle, last"),
        (["--sec.encoder", "none", "--tec.encoder", "none"], "name at least one encoder"),
        (["--sec.encoder", "/no/encoder"], "/no/encoder: no such folder; name sec-compact, tec"),
        (["--head.alexnet_weights", "/no/file"], "only head.size = paper has an AlexNet"),
        (["--evaluate.split", "kfold10"], "set evaluate.allow_optimistic = true to run it"),
        (["--evaluate.selection", "paper"], "validation leak, validation/test: choices are made"),
        (["--evaluate.split", "groups:9"], "groups:9 needs at least 9 speakers, there is 4"),
    ],
)
def test_combinations_that_cannot_work(overrides, said, refusal, recipe, tmp_path):
    out = tmp_path / "run"
    assert said in refusal(
        "crossval", recipe, "--out", out, "--corpus.guard_text=false", *overrides
    )


def test_paper_alexnet_weights_that_are_not_there(refusal, recipe, tmp_path):
    line = refusal(
        *("crossval", recipe, "--out", tmp_path / "run", "--head.size", "paper"),
        *("--head.alexnet_weights", tmp_path / "alexnet.pth"),
    )
    assert f"{tmp_path / 'alexnet.pth'}: not a torchvision AlexNet state dict" in line


def test_a_recipe_without_a_manifest(refusal, tmp_path):
    (tmp_path / "r.toml").write_text("seed = 1\n", encoding="utf-8")
    for command in (["crossval"], ["search"], ["train"]):
        line = refusal(*command, tmp_path / "r.toml", "--out", tmp_path / "out")
        assert "corpus.manifest is not set; give a manifest with --corpus.manifest FILE" in line
