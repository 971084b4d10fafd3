"""The loop learns, measures what it should, keeps no memory, and stops when it must."""

import gc
import threading
from functools import partial

import pytest
import torch

from mfas.errors import FailedError
from mfas.pretrain.batches import plan_crops, read_batch
from mfas.pretrain.guards import PATIENCE
from mfas.pretrain.loop import Trainer
from mfas.pretrain.material import read_material
from mfas.pretrain.objective import Guard
from mfas.pretrain.run import _plans, make_objective, start_encoder
from mfas.pretrain.schedule import learning_rate
from mfas.train import derive_seed, make_accelerator


class Run:
    """A trainer with its speech; what it logged and saved."""

    def __init__(self, recipe):
        encoder = start_encoder(recipe.encoder, recipe.objective, recipe.seed, recipe.name)
        self.speech = read_material(recipe, encoder).train
        accelerator = make_accelerator(recipe.optimize)
        self.trainer = Trainer(make_objective(recipe, encoder), recipe, accelerator)
        self.plans = partial(_plans, recipe, self.speech, 1)
        self.lines, self.saved = [], []

    def go(self):
        self.trainer.run(
            self.speech,
            self.plans,
            lambda line: self.lines.append(dict(line)),
            lambda trainer: self.saved.append(trainer.update),
        )
        return self


@pytest.fixture
def make_run(make_recipe, monkeypatch, speech_cache):
    monkeypatch.setenv("MFAS_CACHE", str(speech_cache))
    return lambda *overrides, **changes: Run(make_recipe(*overrides, **changes))


@pytest.mark.parametrize("objective", ["continuous", "quantised", "ctc"])
def test_learns_what_can_be_learnt(objective, make_run):
    run = make_run(
        *("--optimize.updates", "60", "--optimize.lr", "3e-3", "--optimize.log_every", "6"),
        *("--continuous.ema_start", "0.1", "--continuous.mel_weight", "1"),
        objective=objective,
    ).go()
    assert run.lines[-1]["loss"] < 0.75 * run.lines[0]["loss"]
    if objective == "continuous":
        assert run.lines[-1]["mel"] < 0.8 * run.lines[0]["mel"]


def test_lines_come_when_they_should_and_at_every_checkpoint(make_run):
    run = make_run("--optimize.updates", "11").go()  # logs every 3, saves every 4
    assert [line["update"] for line in run.lines] == [3, 4, 6, 8, 9, 11]
    assert run.saved == [4, 8]
    assert run.trainer.update == 11
    assert run.trainer.audio_seconds == run.lines[-1]["audio_seconds"]


def test_a_line_is_the_mean_since_the_last_one(make_run):
    every = make_run("--optimize.log_every", "1", "--optimize.checkpoint_every", "3").go().lines
    third = make_run("--optimize.log_every", "3", "--optimize.checkpoint_every", "3").go().lines
    assert len(every) == 9
    assert len(third) == 3
    for number, line in enumerate(third):
        part = every[3 * number : 3 * number + 3]
        for name in ("loss", "data2vec", "mel", "effective_rank", "gradient_norm"):
            mean = sum(one[name] for one in part) / 3
            assert line[name] == pytest.approx(mean, rel=1e-5), name
        assert line["lr"] == part[-1]["lr"]
        assert line["audio_seconds"] == part[-1]["audio_seconds"]


def test_what_a_line_says(make_run):
    run = make_run()
    settings = run.trainer.recipe.optimize
    for line in run.go().lines:
        assert line["lr"] == learning_rate(settings, line["update"] - 1)
        assert line["audio_seconds"] == pytest.approx(3.2 * line["update"])  # all batches are full
        assert line["seconds"] >= 0
        assert all(isinstance(value, int | float) for value in line.values())
    assert run.trainer.optimizer.param_groups[0]["lr"] == run.lines[-1]["lr"]


def test_gradients_are_clipped_and_their_norm_is_told_before(make_run, monkeypatch):
    run = make_run("--optimize.clip", "0.001", "--optimize.updates", "2")
    norms = []
    step = run.trainer.optimizer.step

    def watched(*arguments):
        gradients = [p.grad for p in run.trainer.objective.parameters() if p.grad is not None]
        norms.append(torch.linalg.vector_norm(torch.cat([g.flatten() for g in gradients])))
        return step(*arguments)

    monkeypatch.setattr(run.trainer.optimizer, "step", watched)
    line = run.go().lines[-1]
    assert [norm.item() for norm in norms] == pytest.approx([0.001, 0.001], rel=1e-3)
    assert line["gradient_norm"] > 0.01
    assert all(p.grad is None for p in run.trainer.objective.parameters())


def test_the_teacher_follows_after_every_update(make_run, monkeypatch):
    run = make_run()
    followed = []
    monkeypatch.setattr(run.trainer.objective, "after_update", followed.append)
    run.go()
    assert followed == [pytest.approx(n / 9) for n in range(1, 10)]


def test_everything_runs_in_training_mode(make_run, monkeypatch):
    run = make_run()
    run.trainer.objective.eval()
    run.go()
    assert run.trainer.objective.encoder.blocks[0].training
    assert not run.trainer.objective.teacher.training


@pytest.mark.parametrize("log_every", [1, 100])
def test_what_diverged_is_never_saved(log_every, make_run):
    """Even where the log is rarer than checkpoints."""
    run = make_run(
        *("--optimize.lr", "1e6", "--optimize.updates", "50", "--optimize.warmup", "0"),
        *("--optimize.checkpoint_every", "20", "--optimize.log_every", str(log_every)),
    )
    with pytest.raises(FailedError, match=r"^training diverged by update \d+ \(the loss is .*nan"):
        run.go()
    assert run.saved == []
    assert all(line["loss"] < float("inf") for line in run.lines)


def test_guards_wait_for_the_grace_and_then_for_patience(make_run):
    options = ("--optimize.log_every", "1", "--guards.effective_rank", "1000")
    run = make_run(*options, "--optimize.updates", "20", "--guards.grace", "0.25")
    with pytest.raises(FailedError, match=rf"^collapsed by update {5 + PATIENCE}: effective rank"):
        run.go()
    assert [line["update"] for line in run.lines] == list(range(1, 6 + PATIENCE))
    assert make_run(*options, "--guards.grace", "1").go().trainer.update == 9


def test_objectives_without_guards_are_not_watched(make_run):
    assert make_run(objective="ctc").go().trainer.watch.low == {}


def test_a_checkpoint_holds_everything(make_run, tmp_path):
    options = ("--guards.effective_rank", "1000", "--optimize.updates", "60")
    one, other = make_run(*options), make_run(*options)
    for _ in range(2):
        one.trainer._step(next_batch(one))
    one.trainer.seconds, one.trainer.audio_seconds = 7.5, 6.4
    one.trainer.watch.low = {"effective_rank": PATIENCE - 1}
    one.trainer.save(tmp_path / "c")
    assert other.trainer.restore(tmp_path / "c")
    for name in ("update", "seconds", "audio_seconds"):
        assert getattr(other.trainer, name) == getattr(one.trainer, name)
    assert other.trainer.watch.low == {"effective_rank": PATIENCE - 1}
    state = other.trainer.objective.state_dict()
    for name, tensor in one.trainer.objective.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert not make_run().trainer.restore(tmp_path / "none")


def next_batch(run):
    return read_batch(run.speech, next(run.plans(run.trainer.update)))


def test_memory_does_not_grow(make_run):
    """As many tensors are alive after 30 updates as after 15."""
    counts = {}
    run = make_run("--optimize.updates", "30", "--optimize.checkpoint_every", "15")

    def count(trainer):
        gc.collect()
        kinds = [type(found) for found in gc.get_objects()]
        counts[trainer.update] = sum(issubclass(kind, torch.Tensor) for kind in kinds)

    run.trainer.run(run.speech, run.plans, lambda line: None, count)
    assert abs(counts[30] - counts[15]) <= 20  # batches that are read ahead


@pytest.mark.parametrize("objective", ["continuous", "quantised", "ctc"])
def test_bf16_computes_less_precisely_and_keeps_float32_weights(objective, make_run):
    lines = {}
    for precision in ("float32", "bf16"):
        run = make_run("--optimize.precision", precision, objective=objective).go()
        lines[precision] = run.lines[-1]
        assert {p.dtype for p in run.trainer.objective.parameters()} == {torch.float32}
    assert lines["bf16"]["loss"] != lines["float32"]["loss"]
    assert lines["bf16"]["loss"] == pytest.approx(lines["float32"]["loss"], rel=0.2)


def test_faults_while_reading_are_raised(make_run):
    run = make_run("--optimize.batch_seconds", "900")
    with pytest.raises(ValueError, match=r"do not fill one batch of 900 s; add recordings"):
        run.go()
    assert run.trainer.update == 0


def test_nothing_is_left_reading(make_run):
    before = set(threading.enumerate())
    run = make_run("--optimize.lr", "1e6", "--optimize.warmup", "0", "--optimize.updates", "50")
    with pytest.raises(FailedError):
        run.go()
    assert set(threading.enumerate()) == before


def test_a_guard_of_an_unknown_measure_is_a_bug(make_run):
    run = make_run("--guards.grace", "0")
    run.trainer.watch.guards = (Guard("unheard", 1.0, "of"),)
    with pytest.raises(KeyError, match="unheard"):
        run.go()


def test_plans_are_those_of_the_recipe(make_run):
    run = make_run()
    recipe = run.trainer.recipe
    seed = derive_seed(recipe.seed, "epoch", 0)
    first = plan_crops(run.speech, recipe.speech, recipe.optimize.batch_seconds, 1, seed)[0]
    assert next(run.plans(0)) == first


def test_every_update_draws_numbers_of_its_own(make_run, monkeypatch):
    drawn = []

    def watched(batch, gain_db, generator):
        drawn.append((generator.initial_seed(), torch.initial_seed()))
        return batch

    monkeypatch.setattr("mfas.pretrain.loop.vary_level", watched)
    make_run().go()
    make_run().go()
    assert drawn[:9] == drawn[9:]
    assert len({seed for pair in drawn[:9] for seed in pair}) == 18
