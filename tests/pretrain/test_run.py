"""A run leaves an encoder that can be loaded, and an interrupt leaves no trace in it."""

import errno
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event

from mfas.config import EncoderSection, read_pretrain_recipe, recipe_to_toml
from mfas.encoders import COMPACT, TABLE1, load_encoder
from mfas.errors import FailedError, ModelError, RecipeError, RunError
from mfas.pretrain import pretrain, run, spelling, start_encoder
from mfas.pretrain.batches import read_batch
from mfas.pretrain.ctc import load_transcriber
from mfas.pretrain.loop import Trainer
from mfas.pretrain.spelling import weigh_spelling
from mfas.storage import read_csv, read_json, sha256_of_file, write_csv

OBJECTIVES = pytest.mark.parametrize("objective", ["continuous", "quantised", "ctc"])
KILLED = """
import sys, time
from mfas.cli import main
from mfas.pretrain.loop import Trainer
step = Trainer._step
def wait_at_seven(self, batch):
    if self.update == 7:
        print("seven", flush=True)
        time.sleep(1000)
    return step(self, batch)
Trainer._step = wait_at_seven
main(sys.argv[1:])
"""


class Interrupted(Exception):  # noqa: N818
    """Stands for a kill."""


@pytest.fixture(autouse=True)
def own_cache(speech_cache, monkeypatch):
    monkeypatch.setenv("MFAS_CACHE", str(speech_cache))


@pytest.fixture
def interrupt(monkeypatch):
    """`interrupt(5)`: before the fifth update is over, once."""

    def at(update):
        step = Trainer._step

        def stop(self, batch):
            if self.update == update - 1:
                monkeypatch.setattr(Trainer, "_step", step)
                raise Interrupted
            return step(self, batch)

        monkeypatch.setattr(Trainer, "_step", stop)

    return at


@pytest.fixture
def assert_same(finished, log_lines):
    """That a folder holds what a run that was never interrupted leaves."""

    def check(folder, objective):
        for file in finished(objective).glob("*.safetensors"):
            one, other = load_file(folder / file.name), load_file(file)
            assert one.keys() == other.keys()
            for name, tensor in one.items():
                assert torch.equal(tensor, other[name]), name
        assert log_lines(folder) == log_lines(finished(objective))
        assert sorted(p.name for p in folder.iterdir()) == sorted(
            p.name for p in finished(objective).iterdir()
        )
        volatile = {"seconds", "last"}
        results = [read_json(f / "result.json") for f in (folder, finished(objective))]
        for key in results[0].keys() - volatile:
            assert results[0][key] == results[1][key], key

    return check


@OBJECTIVES
def test_what_a_run_leaves(objective, finished, make_recipe):
    folder = finished(objective)
    left = {"recipe.toml", "log.jsonl", "tensorboard", "config.json", "model.safetensors"}
    left |= {"result.json"} | ({"ctc.safetensors"} if objective == "ctc" else set())
    assert {path.name for path in folder.iterdir()} == left
    assert read_pretrain_recipe(folder / "recipe.toml") == make_recipe(objective=objective)
    result = read_json(folder / "result.json")
    role = "tec" if objective == "ctc" else "sec"
    encoder = load_encoder(EncoderSection(encoder=str(folder)), role)
    assert encoder.trained
    assert encoder.fingerprint() == result["encoder_sha256"]
    assert (encoder.name, encoder.config.dropout) == ("quick", 0.1)
    assert (result["updates"], result["objective"]) == (9, objective)
    assert result["speakers"] + len(result["held_out_speakers"]) == 6
    assert result["speech_seconds"] == pytest.approx(22.0)
    assert (result["held_out"] is None) == (objective != "ctc")
    last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    assert result["last"] == last
    assert result["audio_seconds"] == last["audio_seconds"]


def test_only_the_encoder_has_learnt(finished, tiny_folder, weights):
    before, after = weights(tiny_folder), weights(finished("continuous"))
    assert before.keys() == after.keys()
    assert all(not torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_a_transcriber_comes_out_of_ctc(finished, voice):
    assert load_transcriber(finished("ctc")).encoder.trained
    with pytest.raises(ModelError, match=r"ctc\.safetensors: not found"):
        load_transcriber(finished("continuous"))


def test_the_same_recipe_gives_the_same_and_another_seed_another(
    assert_same, make_recipe, tmp_path, weights
):
    pretrain(make_recipe(), tmp_path / "again")
    assert_same(tmp_path / "again", "continuous")
    pretrain(make_recipe("--seed", "1"), tmp_path / "other")
    one, other = weights(tmp_path / "again"), weights(tmp_path / "other")
    assert any(not torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_order_and_place_of_files_say_nothing(
    finished, make_recipe, speech_manifest, tmp_path, weights, log_lines
):
    shutil.copytree(speech_manifest.parent, tmp_path / "copy")
    rows = read_csv(tmp_path / "copy" / "speech.csv")
    write_csv(tmp_path / "copy" / "speech.csv", list(rows[0]), rows[::-1])
    manifest = ("--speech.manifest", str(tmp_path / "copy" / "speech.csv"))
    pretrain(make_recipe(*manifest), tmp_path / "run")
    for name, tensor in weights(tmp_path / "run").items():
        assert torch.equal(tensor, weights(finished("continuous"))[name]), name
    assert log_lines(tmp_path / "run") == log_lines(finished("continuous"))


def test_nobody_elses_random_numbers_are_touched(make_recipe, tmp_path):
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    threads = torch.get_num_threads()
    pretrain(make_recipe("--optimize.updates", "2"), tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]
    assert torch.get_num_threads() == threads


@OBJECTIVES
@pytest.mark.parametrize("update", [1, 4, 5, 9])
def test_interrupted_and_resumed(objective, update, interrupt, make_recipe, tmp_path, assert_same):
    """Before anything was logged, before and after a checkpoint (4, 8), and near the end."""
    recipe = make_recipe(objective=objective)
    interrupt(update)
    with pytest.raises(Interrupted):
        pretrain(recipe, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoint.safetensors").exists() == (update > 4)
    pretrain(recipe, tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", objective)


@OBJECTIVES
def test_at_other_speeds_a_run_is_another_and_resumes_as_well(
    objective, interrupt, make_recipe, tmp_path, weights, log_lines
):
    """Here quantised targets go with log-mel."""
    mel = ("--quantised.mel_weight", "0.5")
    recipe = make_recipe("--speech.speeds", "[0.8, 1.2]", *mel, objective=objective)
    pretrain(recipe, tmp_path / "whole")
    interrupt(6)
    with pytest.raises(Interrupted):
        pretrain(recipe, tmp_path / "parts")
    pretrain(recipe, tmp_path / "parts", resume=True)
    for name, tensor in weights(tmp_path / "whole").items():
        assert torch.equal(tensor, weights(tmp_path / "parts")[name]), name
    lines = log_lines(tmp_path / "whole")
    assert lines == log_lines(tmp_path / "parts")
    assert ("mel" in lines[-1]) == (objective != "ctc")
    plain = pretrain(make_recipe(*mel, objective=objective), tmp_path / "plain")
    left_out = read_json(tmp_path / "whole" / "result.json")["left_out"]
    assert left_out == {f"{fault} at speed 1.2": n for fault, n in plain["left_out"].items()}
    assert plain["last"]["loss"] != lines[-1]["loss"]


def test_interrupted_again_and_again(interrupt, make_recipe, tmp_path, assert_same):
    for update in (2, 6, 6, 9):
        interrupt(update)
        with pytest.raises(Interrupted):
            pretrain(make_recipe(), tmp_path / "run", resume=True)
    pretrain(make_recipe(), tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", "continuous")


@pytest.mark.parametrize("name", ["model.safetensors", "result.json"])
def test_interrupted_while_finishing(name, make_recipe, tmp_path, assert_same, monkeypatch):
    with monkeypatch.context() as patch:
        target = "mfas.pretrain.run.write_json"
        if name == "model.safetensors":
            target = "mfas.pretrain.run.TransformerEncoder.save"

        def stop(*arguments):
            if name == "result.json" or arguments[1].name == "run":
                raise Interrupted

        patch.setattr(target, stop)
        with pytest.raises(Interrupted):
            pretrain(make_recipe(), tmp_path / "run")
    pretrain(make_recipe(), tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", "continuous")


def test_killed_and_resumed(make_recipe, tmp_path, assert_same):
    """SIGKILL in the seventh update; half a line of the log is left as well."""
    recipe, out = make_recipe(), tmp_path / "run"
    (tmp_path / "r.toml").write_text(recipe_to_toml(recipe), encoding="utf-8")
    command = [sys.executable, "-c", KILLED, "pretrain", str(tmp_path / "r.toml")]
    process = subprocess.Popen([*command, "--out", str(out)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout.readline() == "seven\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert (out / "checkpoint.safetensors").exists()
    with (out / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write('{"update": 8, "lo')
    pretrain(recipe, out, resume=True)
    assert_same(out, "continuous")


def test_a_checkpoint_is_at_hand_with_the_encoder_so_far(interrupt, make_recipe, tmp_path):
    interrupt(6)
    with pytest.raises(Interrupted):
        pretrain(make_recipe(), tmp_path / "run")
    snapshot = load_encoder(EncoderSection(encoder=str(tmp_path / "run" / "snapshot")), "sec")
    assert snapshot.trained
    assert not (tmp_path / "run" / "config.json").exists()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_encoder(EncoderSection(encoder=str(tmp_path / "run")), "sec")


def contents(folder: Path) -> dict[str, str]:
    return {str(p): sha256_of_file(p) for p in folder.rglob("*") if p.is_file()}


def test_a_finished_run_is_left_alone(finished, make_recipe, monkeypatch):
    folder = finished("continuous")
    before = contents(folder)
    monkeypatch.setattr(run, "make_accelerator", None)  # nothing is begun
    assert pretrain(make_recipe(), folder, resume=True) == read_json(folder / "result.json")
    assert contents(folder) == before


def test_folders_that_are_taken(finished, make_recipe, tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("mine")
    before = contents(tmp_path)
    folder = finished("continuous")
    for out, resume, said in (
        (tmp_path / "file", False, "is a file; name a folder with --out"),
        (tmp_path / "file", True, "is a file; name a folder with --out"),
        (tmp_path / "other", False, "is not empty; add --resume to go on, or name another --out"),
        (tmp_path / "other", True, "holds no run to resume (no recipe.toml); name another --out"),
        (folder, False, "is not empty; add --resume to go on, or name another --out"),
    ):
        with pytest.raises(RunError) as raised:
            pretrain(make_recipe(), out, resume)
        assert str(raised.value) == f"{out}: {said}"
    with pytest.raises(RunError, match=r"was started with another recipe; name another --out$"):
        pretrain(make_recipe("--optimize.lr", "0.1"), folder, resume=True)
    assert contents(tmp_path) == before
    (tmp_path / "empty").mkdir()
    pretrain(make_recipe("--optimize.updates", "1"), tmp_path / "empty", resume=True)


def test_a_log_that_lost_lines_is_not_gone_on_with(interrupt, make_recipe, tmp_path):
    interrupt(6)
    with pytest.raises(Interrupted):
        pretrain(make_recipe(), tmp_path / "run")
    (tmp_path / "run" / "log.jsonl").write_text('{"update": 3}\n')
    with pytest.raises(RunError, match=r"log\.jsonl: ends before checkpoint\.safetensors; name"):
        pretrain(make_recipe(), tmp_path / "run", resume=True)


@pytest.mark.parametrize("lr", ["0.3", "1e6"])
def test_a_run_that_failed_leaves_no_encoder(lr, make_recipe, tmp_path, monkeypatch):
    """A learning rate of 0.3 lets the teacher say the same of all; 1e6 is no number after a while."""
    said = r"^collapsed by update \d+: target variance" if lr == "0.3" else r"^training diverged by"
    recipe = make_recipe(
        *("--optimize.lr", lr, "--optimize.updates", "60", "--optimize.checkpoint_every", "5"),
        *("--continuous.mel_weight", "0", "--encoder.dropout", "0"),
    )
    with pytest.raises(FailedError, match=said):
        pretrain(recipe, tmp_path / "run")
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left <= {"recipe.toml", "log.jsonl", "tensorboard", "checkpoint.safetensors", "snapshot"}
    assert {"recipe.toml", "log.jsonl", "tensorboard"} <= left
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert all(np.isfinite(json.loads(line)["loss"]) for line in lines)


def test_a_full_disk_is_said_with_the_file(make_recipe, tmp_path, monkeypatch):
    def full(tensors, path, metadata):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mfas.train.checkpoint.save_file", full)
    with pytest.raises(OSError, match="No space left") as raised:
        pretrain(make_recipe(), tmp_path / "run")
    assert raised.value.filename == str(tmp_path / "run" / "checkpoint.safetensors")
    assert [p.name for p in (tmp_path / "run").glob("*checkpoint*")] == []


def test_a_disk_too_full_for_curves_ends_the_run(make_recipe, tmp_path, monkeypatch):
    """It does not wait for a thread that has died of it."""
    write = EventsWriter.write_event

    def full(self, event):
        if event.step >= 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, event)

    monkeypatch.setattr(EventsWriter, "write_event", full)
    with pytest.raises(OSError, match="No space left"):
        pretrain(make_recipe("--optimize.log_every", "1"), tmp_path / "run")
    monkeypatch.undo()
    assert sorted(scalars(tmp_path / "run")["loss"]) == [1, 2, 3, 4, 5]


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorBoard would show: later files hide what they take up again."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]
            for series in found.values() if event.HasField("session_log") else ():
                for step in [step for step in series if step >= event.step]:
                    del series[step]
            for value in event.summary.value:
                series = found.setdefault(value.tag, {})
                assert event.step not in series, "one value for each step"
                series[event.step] = value.simple_value
    return found


@OBJECTIVES
def test_tensorboard_holds_the_log(objective, finished):
    lines = [json.loads(x) for x in (finished(objective) / "log.jsonl").read_text().splitlines()]
    found = scalars(finished(objective))
    assert found.keys() == {name for line in lines for name in line} - {"update"}
    for line in lines:
        for name in line.keys() - {"update"}:
            assert found[name][line["update"]] == pytest.approx(line[name], rel=1e-5), name


def test_tensorboard_forgets_what_an_interrupt_made_run_twice(interrupt, make_recipe, tmp_path):
    recipe = make_recipe("--optimize.checkpoint_every", "5")
    interrupt(9)  # after the lines 3, 5 and 6
    with pytest.raises(Interrupted):
        pretrain(recipe, tmp_path / "run")
    assert sorted(scalars(tmp_path / "run")["loss"]) == [3, 5, 6]
    pretrain(recipe, tmp_path / "run", resume=True)
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    found = scalars(tmp_path / "run")["audio_seconds_per_second"]
    assert found == {
        line["update"]: pytest.approx(line["audio_seconds_per_second"]) for line in lines
    }


def test_progress_is_told(make_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("MFAS_CACHE", str(tmp_path / "new-cache"))
    seen = []
    pretrain(make_recipe(), tmp_path / "run", progress=lambda *told: seen.append(told))
    assert [told for told in seen if told[0] == "decoding"][-1] == ("decoding", 30, 30)
    updates = [(what.partition(":")[0], *rest) for what, *rest in seen if what != "decoding"]
    assert updates == [("updates", n, 9) for n in (3, 4, 6, 8, 9)]


def test_what_is_left_out_is_said(make_recipe, tmp_path, caplog, speech_manifest):
    pretrain(make_recipe("--optimize.updates", "1"), tmp_path / "run")
    assert caplog.messages == [f"{speech_manifest}: left out 6: shorter than 0.5 s"]


def test_error_rates_join_the_log_now_and_then(make_recipe, tmp_path):
    recipe = make_recipe("--ctc.validate_every", "4", objective="ctc")
    result = pretrain(recipe, tmp_path / "run")
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines if "cer" in line] == [4, 8]
    spelt = result["held_out"]
    assert spelt["utterances"] == spelt["plain"]["utterances"] == 8
    measured = spelt["crosswise"] if spelt["blank_penalty"] else spelt["plain"]
    assert spelt["cer"] == measured["cer"]
    assert len(spelt["by_halves"]) == 2


def test_the_head_that_is_kept_has_the_penalty_that_was_chosen(make_recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(
        run, "weigh_spelling", lambda heard: replace(weigh_spelling(heard), blank_penalty=0.5)
    )
    result = pretrain(make_recipe(objective="ctc"), tmp_path / "held back")
    monkeypatch.setattr(
        run, "weigh_spelling", lambda heard: replace(weigh_spelling(heard), blank_penalty=0.0)
    )
    pretrain(make_recipe(objective="ctc"), tmp_path / "plain")
    assert result["held_out"]["blank_penalty"] == 0.5
    held_back, plain = (
        load_transcriber(tmp_path / name).head.linear.bias for name in ("held back", "plain")
    )
    assert held_back[0].item() == pytest.approx(plain[0].item() - 0.5)
    assert torch.equal(held_back[1:], plain[1:])


def test_held_out_speech_is_transcribed_at_its_own_speed(make_recipe, tmp_path, monkeypatch):
    pieces = []

    def watched(speech, plan):
        pieces.extend(plan)
        return read_batch(speech, plan)

    monkeypatch.setattr(spelling, "read_batch", watched)
    faster = ("--speech.speeds", "[1.5, 2.0]", "--optimize.updates", "1")
    result = pretrain(make_recipe(*faster, objective="ctc"), tmp_path / "run")
    assert len(pieces) == result["held_out"]["plain"]["utterances"] == 8
    assert {piece.speed for piece in pieces} == {1}


def test_a_run_starts_from_a_size_or_from_a_folder(make_recipe, finished, weights, tmp_path):
    for size, config in (("compact", COMPACT), ("table1", TABLE1)):
        section = make_recipe().encoder.model_copy(update={"start": None, "size": size})
        encoder = start_encoder(section, "continuous", seed=4, name="mine")
        assert encoder.config == replace(config, name="mine")  # its dropout is .1 too
        assert not encoder.trained
    recipe = make_recipe(objective="ctc")
    section = recipe.encoder.model_copy(update={"start": finished("quantised"), "dropout": 0.3})
    encoder = start_encoder(section, "ctc", seed=4, name="mine")
    assert (encoder.trained, encoder.config.dropout, encoder.name) == (True, 0.3, "mine")
    for name, tensor in weights(finished("quantised")).items():
        assert torch.equal(encoder.state_dict()[name], tensor)


def test_pretraining_goes_on_from_pretraining(make_recipe, finished, tmp_path):
    start = ("--encoder.start", str(finished("quantised")))
    result = pretrain(make_recipe(*start, objective="ctc"), tmp_path / "run")
    first = read_json(finished("quantised") / "result.json")
    assert result["held_out_speakers"] == first["held_out_speakers"]
    assert result["encoder_sha256"] != first["encoder_sha256"]


@pytest.mark.filterwarnings("ignore")  # of the compiler
@pytest.mark.parametrize("student", ["masked", "visible"])
def test_compiled_it_does_the_same(student, make_recipe, tmp_path, log_lines, monkeypatch):
    """Traced as for any compiler, but run as it is: to compile takes most of a minute."""

    def traced(module):
        module._compiled_call_impl = torch.compile(module._call_impl, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    found = []
    for choice in ("false", "true"):
        out = tmp_path / choice
        pretrain(make_recipe("--optimize.compile", choice, "--continuous.student", student), out)
        found.append(log_lines(out))
        assert load_encoder(EncoderSection(encoder=str(out)), "sec").trained
    assert [line["loss"] for line in found[1]] == pytest.approx(
        [line["loss"] for line in found[0]], rel=1e-3
    )


@OBJECTIVES
def test_a_run_that_is_out_of_time_stops_at_a_checkpoint_and_goes_on(
    objective, make_recipe, tmp_path, assert_same
):
    recipe, out = make_recipe(objective=objective), tmp_path / "run"
    assert pretrain(recipe, out, minutes=0) is None
    assert (out / "checkpoint.safetensors").exists()
    assert not (out / "result.json").exists()
    turns = 1
    while pretrain(recipe, out, resume=True, minutes=0) is None:
        turns += 1
    assert turns == recipe.optimize.updates // recipe.optimize.checkpoint_every
    assert_same(out, objective)


def test_a_run_with_time_enough_is_finished(make_recipe, tmp_path, assert_same):
    assert pretrain(make_recipe(), tmp_path / "run", minutes=60) is not None
    assert_same(tmp_path / "run", "continuous")


def test_the_last_layers_begin_anew_if_asked_to(finished, make_recipe):
    folder = str(finished("quantised"))
    begins = ("--encoder.start", folder, "--encoder.fresh_layers", "1")
    kept = start_encoder(make_recipe("--encoder.start", folder).encoder, "ctc", 0, "quick")
    fresh = start_encoder(make_recipe(*begins).encoder, "ctc", 0, "quick")
    changed = {
        name.split(".")[1]
        for name, tensor in kept.state_dict().items()
        if not torch.equal(tensor, fresh.state_dict()[name])
    }
    assert changed == {str(kept.depth - 1)}, "the last block alone"
    again = start_encoder(make_recipe(*begins).encoder, "ctc", 0, "quick")
    other = start_encoder(make_recipe(*begins).encoder, "ctc", 1, "quick")
    assert again.fingerprint() == fresh.fingerprint() != other.fingerprint()


def test_no_more_layers_begin_anew_than_there_are(finished, make_recipe):
    begins = ("--encoder.start", str(finished("quantised")), "--encoder.fresh_layers", "9")
    with pytest.raises(RecipeError, match=r"encoder.fresh_layers = 9: the encoder has \d; ask"):
        start_encoder(make_recipe(*begins).encoder, "ctc", 0, "quick")
