"""The loop learns, stops early, and gives the same weights whether or not it was interrupted."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.optim import SGD

from mfas.errors import FailedError
from mfas.evaluate.experiment import prepare_experiment, read_corpus
from mfas.fusion import Strategy
from mfas.train import (
    Features,
    Scores,
    fit,
    loop,
    loss_function,
    make_accelerator,
    score_utterances,
    train_step,
    utterance_log_probabilities,
)


class Interrupted(Exception):  # noqa: N818
    """Stands for a kill."""


def silent(facts) -> None:
    """A log that keeps nothing."""


def weights_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_weights(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def timeless(result):
    return [replace(epoch, seconds=0.0) for epoch in result.history]


@pytest.fixture
def run(experiment, make_model, said_by, settings):
    """Fit a fresh model; gives its weights and the result."""

    def fit_one(seed=0, log=silent, checkpoint=None, **changes):
        model = make_model(seed=1)
        result = fit(
            model,
            experiment.data,
            said_by("ann", "bob"),
            said_by("cid"),
            settings(**changes),
            seed,
            log,
            checkpoint,
        )
        return weights_of(model), result

    return fit_one


def test_learns_what_can_be_learnt(experiment, make_model, said_by, settings):
    train, validation, test = said_by("ann", "bob"), said_by("cid"), said_by("dot")
    model = make_model()
    before = score_utterances(model, experiment.data, train)
    result = fit(model, experiment.data, train, validation, settings(epochs=15, lr=3e-3), 0, silent)
    after = score_utterances(model, experiment.data, train)
    assert result.history[-1].train_loss < 0.5 * result.history[0].train_loss
    assert after.ua >= 0.9 > before.ua
    assert score_utterances(model, experiment.data, test).ua >= 0.8


def test_one_seed_gives_one_result_and_another_seed_another(run):
    first, second, other = run(seed=3, epochs=1), run(seed=3, epochs=1), run(seed=4, epochs=1)
    assert_same_weights(first[0], second[0])
    assert timeless(first[1]) == timeless(second[1])
    assert any(not torch.equal(tensor, other[0][name]) for name, tensor in first[0].items())


def test_nobody_elses_random_numbers_are_touched(run):
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    run(epochs=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("last", [0, 1, 2])
def test_interrupted_before_a_checkpoint_was_written(run, tmp_path, last, accumulate):
    """The log has the epoch already, the checkpoint has not: the epoch is run again.

    With accumulate 2, the last step of an epoch has one micro-batch only.
    """
    changes = {"batch": 12, "accumulate": accumulate}

    def interrupt(facts):
        if facts["epoch"] == last:
            raise Interrupted

    path = tmp_path / "train.safetensors"
    with pytest.raises(Interrupted):
        run(log=interrupt, checkpoint=path, **changes)
    epochs = []
    resumed = run(log=lambda facts: epochs.append(facts["epoch"]), checkpoint=path, **changes)
    assert epochs == list(range(last, 3))
    whole = run(**changes)
    assert_same_weights(resumed[0], whole[0])
    assert timeless(resumed[1]) == timeless(whole[1])
    assert (resumed[1].best_epoch, resumed[1].best) == (whole[1].best_epoch, whole[1].best)


def test_interrupted_after_a_checkpoint_was_written(run, tmp_path, monkeypatch):
    path, save = tmp_path / "train.safetensors", loop.save_checkpoint

    def save_and_die(*arguments):
        save(*arguments)
        raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(loop, "save_checkpoint", save_and_die)
        run(checkpoint=path)
    epochs = []
    resumed = run(log=lambda facts: epochs.append(facts["epoch"]), checkpoint=path)
    assert epochs == [1, 2]
    assert_same_weights(resumed[0], run()[0])


def test_interrupted_within_an_epoch(run, tmp_path, monkeypatch):
    path, read, reads = tmp_path / "train.safetensors", Features.batch, []

    def tire(self, chosen):
        reads.append(chosen)
        if len(reads) == 7:
            raise Interrupted
        return read(self, chosen)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Features, "batch", tire)
        run(checkpoint=path)
    assert_same_weights(run(checkpoint=path)[0], run()[0])


def test_a_finished_fit_is_not_trained_again(run, tmp_path, monkeypatch):
    path = tmp_path / "train.safetensors"
    weights, result = run(checkpoint=path)
    monkeypatch.setattr(loop, "train_step", None)
    again, same = run(checkpoint=path)
    assert_same_weights(again, weights)
    assert same == result


@pytest.fixture
def scripted(monkeypatch):
    """Validation scores that were decided beforehand."""

    def use(*uas, losses=None):
        losses = losses or [1.0] * len(uas)
        scores = iter([Scores(ua, ua, loss) for ua, loss in zip(uas, losses, strict=True)])
        monkeypatch.setattr(loop, "score_utterances", lambda *_: next(scores))

    return use


def test_stops_when_patience_ends_and_keeps_the_best_epoch(run, scripted):
    scripted(0.5, 0.7)
    best, _ = run(epochs=2)
    scripted(0.5, 0.7, 0.6, 0.7, 0.9)
    weights, result = run(epochs=5, patience=2)
    assert [epoch.validation_ua for epoch in result.history] == [0.5, 0.7, 0.6, 0.7]
    assert (result.best_epoch, result.best.ua) == (1, 0.7)
    assert_same_weights(weights, best)


def test_an_equal_score_with_less_loss_is_better(run, scripted):
    scripted(0.7, 0.7, 0.7, losses=[0.9, 0.8, 0.85])
    assert run(epochs=3)[1].best_epoch == 1


def test_parts_of_a_batch_make_the_step_of_the_whole(experiment, make_model, said_by, settings):
    data, train = experiment.data, said_by("ann", "bob", "cid")[:-2]  # classes are not balanced
    accelerator = make_accelerator(settings())
    loss_of = loss_function(data, train, settings())
    found = []
    for size in (100, 5):
        model = make_model().eval()  # no dropout
        optimizer = SGD(model.parameters(), lr=1.0)
        parts = list(data.batches(train, size, seed=0))
        loss = train_step(model, parts, optimizer, loss_of, accelerator)
        found.append((loss, weights_of(model), len(parts)))
    (whole_loss, whole, one), (loss, weights, several) = found
    assert (one, several) == (1, 4)
    assert loss == pytest.approx(whole_loss, abs=1e-5)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, whole[name], atol=1e-5, rtol=1e-4, msg=name)
    assert any(not torch.equal(tensor, make_model().state_dict()[n]) for n, tensor in whole.items())


def test_every_epoch_ends_with_a_step_and_no_gradient_is_left(
    experiment, make_model, said_by, settings
):
    model = make_model()
    train = said_by("ann", "bob")  # 14 segments: micro-batches of 4, 4, 4, 2
    fit(model, experiment.data, train, said_by("cid"), settings(accumulate=3, batch=12), 0, silent)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_accumulating_leaves_the_training_as_it_is(experiment, quick_recipe, said_by, settings):
    steady = quick_recipe("--head.dropout", "0", "--fusion.dropout", "0")
    train, validation = said_by("ann", "bob"), said_by("cid")
    losses = []
    for accumulate in (1, 2):
        model = replace(experiment, recipe=steady).make_model(Strategy("last", "sum"), 0)
        parts = settings(accumulate=accumulate)
        result = fit(model, experiment.data, train, validation, parts, 0, silent)
        losses.append([epoch.train_loss for epoch in result.history])
    assert losses[1] == pytest.approx(losses[0], rel=0.01)


@pytest.mark.parametrize("epochs", [1, 3])
def test_training_that_diverges_says_so(run, epochs):
    with pytest.raises(FailedError, match=r"training diverged \(the loss is .*; lower train\.lr"):
        run(epochs=epochs, lr=1e30)


def test_bf16_computes_less_precisely_and_keeps_float32_weights(
    experiment, make_model, said_by, settings
):
    losses, outputs = [], []
    for precision in ("float32", "bf16"):
        model = make_model()
        one_epoch = settings(epochs=1, precision=precision)
        result = fit(
            model, experiment.data, said_by("ann", "bob"), said_by("cid"), one_epoch, 0, silent
        )
        losses.append(result.history[0].train_loss)
        outputs.append(utterance_log_probabilities(model, experiment.data, said_by("dot")))
        assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.1)
    assert outputs[1].dtype == torch.float32
    torch.testing.assert_close(outputs[1].exp().sum(dim=1), torch.ones(len(outputs[1])))


def test_fine_tuned_encoders_learn_at_their_own_rate(quick_recipe, settings):
    recipe = quick_recipe("--sec.finetune", "true")
    few = replace(read_corpus(recipe), utterances=read_corpus(recipe).utterances[:6])
    tuned = prepare_experiment(recipe, few)
    model = tuned.make_model(Strategy("last", "sum"), 0)
    others, encoders = loop.parameter_groups(model, settings(lr=0.1, encoder_lr=0.01))
    assert (others["lr"], encoders["lr"]) == (0.1, 0.01)
    assert {id(p) for p in encoders["params"]} == {id(p) for p in model.sec.parameters()}
    grouped = {id(p) for group in (others, encoders) for p in group["params"]}
    assert grouped == {id(p) for n, p in model.named_parameters() if not n.endswith("cell.alpha")}


def test_frozen_encoders_are_no_part_of_training(make_model, settings):
    model = make_model()
    (group,) = loop.parameter_groups(model, settings())
    assert not any(name.startswith(("sec.", "tec.")) for name in model.state_dict())
    assert group["lr"] == settings().lr
