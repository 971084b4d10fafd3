"""`mfas pretrain`: what it prints, and one line for whatever goes wrong."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from mfas.cli import main
from mfas.config import EncoderSection, recipe_to_toml
from mfas.encoders import load_encoder
from mfas.pretrain.loop import Trainer
from mfas.storage import write_csv

FAST = ("--optimize.updates", "2")


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: list[str]


@pytest.fixture(autouse=True)
def own_cache(speech_cache, monkeypatch):
    monkeypatch.setenv("MFAS_CACHE", str(speech_cache))


@pytest.fixture
def recipe(make_recipe, tmp_path) -> Path:
    path = tmp_path / "quick.toml"
    path.write_text(recipe_to_toml(make_recipe("--speech.crop_seconds", "[0.3]")))
    return path


@pytest.fixture
def mfas(capsys) -> Callable[..., Outcome]:
    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Outcome(code, captured.out, captured.err.splitlines())

    return run


@pytest.fixture
def refusal(mfas, recipe, tmp_path) -> Callable[..., str]:
    """The one line that `mfas pretrain` ends with; no folder is written."""

    def run(*overrides: str | Path, code: int = 2, recipe: Path = recipe) -> str:
        outcome = mfas("pretrain", recipe, "--out", tmp_path / "run", *overrides)
        assert (outcome.code, outcome.out, len(outcome.err)) == (code, "", 1), outcome
        assert outcome.err[0].startswith("mfas: ")
        assert "internal error" not in outcome.err[0]
        assert code == 1 or not (tmp_path / "run").exists()
        return outcome.err[0].removeprefix("mfas: ")

    return run


def test_a_run_says_where_its_encoder_is(mfas, recipe, tmp_path):
    out = tmp_path / "run"
    outcome = mfas("pretrain", recipe, "--out", out)
    assert (outcome.code, outcome.err) == (0, [])
    assert outcome.out.startswith(f"{out}: 9 updates, loss ")
    assert f"; use it as --sec.encoder {out} or --tec.encoder {out}\n" in outcome.out
    assert load_encoder(EncoderSection(encoder=str(out)), "sec").trained
    again = mfas("pretrain", recipe, "--out", out, "--resume")
    assert again == outcome


def test_ctc_says_its_error_rate_and_what_it_leaves_out(mfas, recipe, tmp_path, caplog):
    outcome = mfas("pretrain", recipe, "--objective", "ctc", "--out", tmp_path / "run", *FAST)
    assert outcome.code == 0
    assert "% on held-out speakers; use it as" in outcome.out
    (warning,) = caplog.messages
    assert warning.endswith("left out 6: without a transcript, or shorter than theirs")


def test_without_out_a_run_is_named_after_its_recipe(mfas, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert mfas("pretrain", recipe, "--name", "mine", *FAST).code == 0
    assert (tmp_path / "runs" / "mine" / "config.json").exists()


def test_keys_stand_anywhere(mfas, recipe, tmp_path):
    before = ("--objective", "quantised", "--seed", "3", "--optimize.updates=1")
    assert mfas("pretrain", *before, recipe, "--out", tmp_path / "run").code == 0
    said = (tmp_path / "run" / "recipe.toml").read_text()
    assert 'objective = "quantised"' in said
    assert "seed = 3" in said


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["--speech.manifest", "gone.csv"], "gone.csv: no such manifest; make one with"),
        (["--speech.held_out", "0.001"], "0 of its 6 speakers would be held out; change"),
        (["--speech.crop_seconds", "[90]"], "every recording is shorter than 90 s; add others"),
        (["--optimize.batch_sec", "1"], "unknown key optimize.batch_sec; did you mean optimize.ba"),
        (["--objective", "hubert"], "objective = 'hubert': input should be 'quantised', 'cont"),
        (["--continuous.layers", "4"], "continuous.layers = 4: the encoder has 3; ask for le"),
        (["--quantised.dim", "7", "--objective", "quantised"], "quantised.dim = 7 does not divide"),
        (["--speech.speeds", "[1.0, 2.1]"], "speech.speeds.1 = 2.1: input should be less than or"),
        (["--speech.speeds", "[]"], "speech.speeds = []: tuple should have at least 1 item"),
        (["--quantised.score_standard", "all"], "score_standard = 'all': input should be 'batch'"),
        (["--encoder.start", "gone"], "gone: has no config.json; name a folder that holds an enc"),
        (["--optimize.betas", "[0.9, 1]"], "optimize.betas.1 = 1: input should be less than 1"),
        (["--continuous.student", "visible", "--mask.placement", "overlapping"], "set mask.placem"),
    ],
)
def test_what_cannot_be_is_one_line(overrides, said, refusal, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert said in refusal(*overrides)


def test_damaged_encoders_to_start_from(refusal, tmp_path, tiny_folder):
    start = tmp_path / "start"
    start.mkdir()
    for content, said in (("{", "not valid JSON"), ("[1]", "not valid JSON"), ("{}", "not an enc")):
        (start / "config.json").write_text(content)
        assert said in refusal("--encoder.start", start)
    (start / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    assert "damaged encoder (" in refusal("--encoder.start", start)
    assert "has no config.json" in refusal("--encoder.start", start / "config.json")


def test_a_recipe_without_a_manifest(refusal, tmp_path):
    (tmp_path / "r.toml").write_text("seed = 1\n")
    line = refusal(recipe=tmp_path / "r.toml")
    assert line == (
        "speech.manifest is not set; name a CSV with file,speaker, as --speech.manifest speech.csv"
    )


def test_a_recipe_of_crossval(refusal, tmp_path):
    (tmp_path / "r.toml").write_text('[corpus]\nmanifest = "m.csv"\n')
    line = refusal(recipe=tmp_path / "r.toml")
    assert line == (
        f"{tmp_path / 'r.toml'}: unknown key corpus; that is a key of mfas crossval, "
        "not of mfas pretrain"
    )


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "has a header but no rows"),
        ([{"file": "gone.wav", "speaker": "a"}], "gone.wav: no such file; check the path"),
        ([{"file": "bad.wav", "speaker": "a"}], "bad.wav: not readable as audio"),
        ([{"file": "a.wav", "speaker": ""}], "line 2: speaker is empty; fill it in"),
        ([{"file": "a.wav", "speaker": "a"}], "do not fill one batch of 3.2 s; add recordings"),
    ],
)
def test_manifests_that_will_not_do(rows, said, mfas, recipe, tmp_path, voice):
    soundfile.write(tmp_path / "a.wav", voice(8_000), 16_000)
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    write_csv(tmp_path / "m.csv", ["file", "speaker"], rows)
    manifest = ("--speech.manifest", tmp_path / "m.csv", "--speech.held_out", "0")
    outcome = mfas("pretrain", recipe, "--out", tmp_path / "run", *manifest)
    assert (outcome.code, len(outcome.err)) == (2, 1)
    assert said in outcome.err[0]


@pytest.mark.parametrize(
    ("lr", "said"),
    [
        ("0.3", ": target variance "),
        ("1e6", "(the loss is nan, the gradient's norm nan); lower optimize.lr"),
    ],
)
def test_a_run_that_fails_says_why_and_leaves_no_encoder(lr, said, refusal, tmp_path):
    """With 0.3 the teacher soon says the same of everything; with 1e6 nothing is finite."""
    overrides = ("--optimize.lr", lr, "--optimize.updates", "60", "--continuous.mel_weight", "0")
    line = refusal(*overrides, "--encoder.dropout", "0", code=1)
    assert said in line
    assert line.startswith("collapsed by update" if lr == "0.3" else "training diverged by update")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert not left & {"config.json", "model.safetensors", "result.json"}
    assert "log.jsonl" in left


def test_a_full_disk(refusal, tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mfas.train.checkpoint.save_file", full)
    line = refusal(code=1)
    assert line.startswith(f"{tmp_path / 'run' / 'checkpoint.safetensors'}: no space left; free")


def test_a_log_that_cannot_be_written(mfas, recipe, tmp_path, monkeypatch):
    (tmp_path / "run" / "log.jsonl").mkdir(parents=True)
    (tmp_path / "run" / "recipe.toml").write_text(recipe.read_text())
    outcome = mfas("pretrain", recipe, "--out", tmp_path / "run", "--resume")
    assert (outcome.code, len(outcome.err)) == (2, 1)
    assert outcome.err[0].startswith(f"mfas: {tmp_path / 'run' / 'log.jsonl'}: is a directory")


def test_an_interrupt_says_how_to_go_on(mfas, recipe, tmp_path, monkeypatch):
    def interrupted(self, batch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", interrupted)
        outcome = mfas("pretrain", recipe, "--out", tmp_path / "run")
    assert outcome.code == 1
    assert len(outcome.err) == 1
    assert "pretrain, crossval and search take --resume" in outcome.err[0]
    assert mfas("pretrain", recipe, "--out", tmp_path / "run", "--resume").code == 0


def test_only_the_first_of_several_processes_speaks(mfas, recipe, tmp_path, monkeypatch):
    assert mfas("pretrain", recipe, "--out", tmp_path / "run", *FAST).code == 0
    monkeypatch.setenv("RANK", "1")
    outcome = mfas("pretrain", recipe, "--out", tmp_path / "run", "--resume", *FAST)
    assert outcome == Outcome(0, "", [])


def test_a_failed_run_ends_its_process(recipe, tmp_path):
    """No thread that reads ahead keeps it alive; the reason is the only line."""
    command = [sys.executable, "-m", "mfas", "pretrain", str(recipe), "--out", str(tmp_path / "r")]
    done = subprocess.run(
        [*command, "--optimize.lr", "1e6", "--optimize.updates", "60"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert (done.stdout, done.stderr.count("\n")) == ("", 1), done.stderr


def test_a_run_that_is_out_of_time_says_how_to_go_on(mfas, recipe, tmp_path):
    out = tmp_path / "run"
    stopped = mfas("pretrain", recipe, "--out", out, "--minutes", "0")
    assert (stopped.code, stopped.err) == (0, [])
    assert stopped.out == f"{out}: stopped at a checkpoint; go on with --resume\n"
    finished = mfas("pretrain", recipe, "--out", out, "--resume")
    assert finished.code == 0
    assert "9 updates" in finished.out
