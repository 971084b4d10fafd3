"""The learning rate by hand, and which weights decay."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfas.config import ContinuousSection, GuardSection, MaskSection, OptimizeSection
from mfas.pretrain import ContinuousObjective
from mfas.pretrain.schedule import learning_rate, parameter_groups


def test_warm_up_then_cosine():
    settings = OptimizeSection(updates=100, lr=2.0, warmup=0.1, final=0.1)
    rates = [learning_rate(settings, update) for update in range(100)]
    assert rates[:10] == pytest.approx([0.2 * n for n in range(1, 11)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(2.0 * (0.1 + 0.9 / 2))
    assert rates[40] == pytest.approx(2.0 * (0.1 + 0.9 * (1 + math.cos(math.pi / 3)) / 2))
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[99] == pytest.approx(0.2, rel=0.01)
    assert min(rates) > 0


@given(
    updates=st.integers(1, 300),
    warmup=st.floats(0, 1),
    final=st.floats(0, 1),
    lr=st.floats(1e-6, 1e3),
)
def test_the_rate_is_never_negative_nor_above_the_highest(updates, warmup, final, lr):
    settings = OptimizeSection(updates=updates, lr=lr, warmup=warmup, final=final)
    rates = [learning_rate(settings, update) for update in range(updates)]
    assert all(0 <= rate <= lr * (1 + 1e-12) for rate in rates)
    assert max(rates) > 0


def test_a_long_run_has_the_course_of_a_short_one():
    short, long = (OptimizeSection(updates=n, warmup=0.1) for n in (100, 1000))
    for update in (20, 50, 90):
        rate = learning_rate(short, update)
        assert learning_rate(long, 10 * update) == pytest.approx(rate, rel=0.03)


@pytest.mark.parametrize("student", ["masked", "visible"])
@pytest.mark.parametrize("front", ["log-mel", "convolutions"])
def test_matrices_decay_and_nothing_else(front, student, tiny_encoder):
    settings = ContinuousSection(layers=2, student=student)
    objective = ContinuousObjective(
        tiny_encoder(front), settings, MaskSection(), GuardSection(), 0, 10
    )
    decaying, others = parameter_groups(objective, 0.3)
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.3, 0.0)
    name_of = {id(parameter): name for name, parameter in objective.named_parameters()}
    names = [{name_of[id(p)] for p in group["params"]} for group in (decaying, others)]
    trained = {n for n, p in objective.named_parameters() if p.requires_grad}
    assert names[0] | names[1] == trained
    assert not names[0] & names[1]
    assert not any(name.startswith("teacher.") for name in trained)
    assert all(name.endswith(".weight") and "norm" not in name for name in names[0])
    assert {n for n in trained if n.endswith("bias") or "norm" in n} <= names[1]
    vector = "student.mask_embedding_D" if student == "masked" else "student.gap_D"
    assert vector in names[1]
