"""Help, versions, and what the command line says to arguments that are none of its own."""

import subprocess
import sys

import pytest

from mfas.cli import commands, main

COMMANDS = (
    *("doctor", "corpus", "pretrain", "crossval", "search", "train"),
    *("verify", "report", "predict", "demo", "bench"),
)
HELP_WITHOUT_TORCH = f"""
import sys
from mfas.cli import main
for arguments in [[], *([name] for name in {COMMANDS!r})]:
    try:
        main([*arguments, "--help"])
    except SystemExit as ended:
        assert ended.code == 0
assert not {{"torch", "transformers", "librosa"}} & set(sys.modules), "help imports too much"
"""


def test_help_of_every_command_imports_no_torch():
    done = subprocess.run(
        [sys.executable, "-c", HELP_WITHOUT_TORCH], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name in COMMANDS:
        assert f"usage: mfas {name}" in done.stdout
    assert "--train.lr" in done.stdout
    assert "--optimize.lr" in done.stdout


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "mfas", "--version"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("mfas ")


def test_doctor_says_what_is_there(mfas, tone_cache):
    outcome = mfas("doctor")
    assert (outcome.code, outcome.err) == (0, [])
    for expected in ("python", "torch", "CPU cores", "GPU", "default model", "extra demo"):
        assert expected in outcome.out
    assert str(tone_cache) in outcome.out.replace("\n", "")


def test_doctor_says_how_to_install_an_extra(mfas, monkeypatch):
    monkeypatch.setattr("mfas.cli.doctor.find_spec", lambda module: None)
    assert "missing; pip install 'mfas[demo]'" in mfas("doctor").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: COMMAND; see mfas --help"),
        (["foo"], "invalid choice: 'foo'"),
        (["doctor", "--quick"], "--quick: unknown option; see mfas doctor --help"),
        (["doctor", "now"], "now: unknown option"),
        (
            ["verify", "run", "--train.lr", "1"],
            "--train.lr: unknown option; see mfas verify --help",
        ),
        (["predict"], "required: PATH; see mfas predict --help"),
        (["predict", "a.wav", "--modle", "m"], "--modle: unknown option"),
        (["predict", "a.wav", "--format", "xml"], "invalid choice: 'xml'"),
        (["corpus", "emodb"], "required: FOLDER"),
        (["corpus", "emo-db", "folder"], "invalid choice: 'emo-db' (choose from 'iemocap'"),
        (["corpus", "synthetic", "folder", "--voices", "many"], "invalid int value: 'many'"),
        (["corpus", "synthetic", "folder", "--voices", "99"], "99 voices; choose 1 to 16"),
        (["corpus", "synthetic", "folder", "--sentences", "0"], "choose 1 or more"),
        (["search", "recipe.toml"], "required: --out"),
        (["train", "recipe.toml"], "required: --out"),
        (["pretrain"], "required: RECIPE; see mfas pretrain --help"),
        (["pretrain", "gone.toml"], "gone.toml: no such recipe; recipes are TOML files"),
        (["pretrain", "--seed", "3", "gone.toml"], "gone.toml: no such recipe"),
        (["report"], "required: RUN"),
    ],
)
def test_wrong_usage_is_one_line(arguments, said, refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in refusal(*arguments)


def test_ctrl_c_is_one_line(refusal, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "doctor", interrupted)
    assert refusal("doctor", code=1).startswith("mfas: interrupted; what was finished is kept")


def test_a_bug_is_one_line_that_says_so(mfas, monkeypatch):
    def broken(options):
        raise ZeroDivisionError("first\nsecond")

    monkeypatch.setattr(commands, "doctor", broken)
    outcome = mfas("doctor")
    assert outcome.code == 1
    assert outcome.err == ["mfas: internal error: ZeroDivisionError: first; --debug shows where"]


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(ValueError, match="no such manifest"):
        main(["--debug", "corpus", "check", str(tmp_path / "gone.csv")])
    with pytest.raises(ValueError, match="no such manifest"):
        main(["corpus", "check", str(tmp_path / "gone.csv"), "--debug"])
