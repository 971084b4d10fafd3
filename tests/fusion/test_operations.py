"""Each operation is its formula, and masked frames do not exist for it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mfas.fusion import OPERATIONS
from mfas.fusion.operations import InformationSupplement, make_operations

DIM = 12
FORMS = ("x+y*g(y)", "x+y*g(x)", "x*g(y)")
each_operation = pytest.mark.parametrize("name", OPERATIONS)


def made(name: str) -> nn.Module:
    torch.manual_seed(7)
    return OPERATIONS[name](DIM).eval()


def weights(module: nn.Module) -> dict[str, np.ndarray]:
    """By the last two parts of their names: a reversed operation holds the plain one."""
    state = module.state_dict().items()
    return {".".join(name.split(".")[-2:]): value.double().numpy() for name, value in state}


def softmax(scores: np.ndarray) -> np.ndarray:
    grown = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


def attention(x: np.ndarray, y: np.ndarray, w: dict) -> np.ndarray:
    return softmax(x @ y.T / np.sqrt(DIM)) @ y


def concat_fc(x: np.ndarray, y: np.ndarray, w: dict) -> np.ndarray:
    z = np.concatenate([x, y], axis=1) @ w["linear.weight"].T + w["linear.bias"]
    z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt(z.var(axis=1, keepdims=True) + 1e-5)
    return np.maximum(z * w["norm.weight"] + w["norm.bias"], 0)


def gate(y: np.ndarray, w: dict) -> np.ndarray:
    means = np.pad(y.mean(axis=0), 1)
    kernel = w["convolution.weight"].ravel()
    mixed = [kernel @ means[d : d + 3] + w["convolution.bias"][0] for d in range(DIM)]
    return 1 / (1 + np.exp(-np.array(mixed)))


def ism(x: np.ndarray, y: np.ndarray, w: dict) -> np.ndarray:
    return x + y * gate(y, w)


FORMULAS = {
    "zero": lambda x, y, w: 0 * x,
    "sum": lambda x, y, w: x + y,
    "attention": attention,
    "attention_r": lambda x, y, w: attention(y, x, w),
    "concat_fc": concat_fc,
    "concat_fc_r": lambda x, y, w: concat_fc(y, x, w),
    "ism": ism,
    "ism_r": lambda x, y, w: ism(y, x, w),
}


def test_the_search_space_is_the_papers_in_its_order():
    assert tuple(OPERATIONS) == tuple(FORMULAS)


@each_operation
def test_formula(name, frames):
    lengths = [9, 4, 1]
    tec, sec, mask = frames(lengths)
    operation = made(name)
    with torch.no_grad():
        adjusted = operation(tec, sec, mask)
    assert adjusted.shape == tec.shape
    for b, length in enumerate(lengths):
        x, y = (frames[b, :length].double().numpy() for frames in (tec, sec))
        expected = FORMULAS[name](x, y, weights(operation))
        np.testing.assert_allclose(adjusted[b, :length].numpy(), expected, atol=2e-6)


@settings(max_examples=40)
@given(
    name=st.sampled_from(tuple(OPERATIONS)),
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    garbage=st.floats(-1e4, 1e4),
)
def test_masked_frames_neither_count_nor_carry_anything(frames, name, lengths, garbage):
    tec, sec, mask = frames(lengths)
    operation = made(name)
    with torch.no_grad():
        clean = operation(tec, sec, mask)
        behind = garbage * ~mask.unsqueeze(-1)
        dirty = operation(tec + behind, sec - 2 * behind, mask)
    assert torch.equal(dirty, clean)
    assert not clean[~mask].any()


@each_operation
def test_a_segment_alone_gets_what_it_gets_in_a_batch(name, frames):
    tec, sec, mask = frames([9, 4])
    operation = made(name)
    with torch.no_grad():
        together = operation(tec, sec, mask)[1, :4]
        alone = operation(tec[1:, :4], sec[1:, :4], mask[1:, :4])[0]
    torch.testing.assert_close(together, alone)


@each_operation
def test_every_weight_of_an_operation_is_trained(name, frames):
    operation = made(name)
    if not list(operation.parameters()):
        assert name.removesuffix("_r") in ("zero", "sum", "attention")
        return
    operation(*frames([9, 4])).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in operation.parameters())


def ism_by_hand(form: str, x: Tensor, y: Tensor, module: InformationSupplement) -> np.ndarray:
    x, y = x.double().numpy(), y.double().numpy()
    w = weights(module)
    return {
        "x+y*g(y)": lambda: x + y * gate(y, w),
        "x+y*g(x)": lambda: x + y * gate(x, w),
        "x*g(y)": lambda: x * gate(y, w),
    }[form]()


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_information_supplement_module(form, frames):
    tec, sec, mask = frames([9])
    operations = make_operations(ism_form=form)
    plain, turned = operations["ism"](DIM), operations["ism_r"](DIM)
    with torch.no_grad():
        seen, seen_turned = plain(tec, sec, mask)[0], turned(tec, sec, mask)[0]
    np.testing.assert_allclose(seen, ism_by_hand(form, tec[0], sec[0], plain), atol=2e-6)
    expected = ism_by_hand(form, sec[0], tec[0], turned.operation)
    np.testing.assert_allclose(seen_turned, expected, atol=2e-6)


def test_dropout_of_concat_fc_acts_in_training_alone(frames):
    given_frames = frames([200])
    for name in ("concat_fc", "concat_fc_r"):
        operation = make_operations(dropout=0.5)[name](DIM)
        with torch.no_grad():
            whole, dropped = operation.eval()(*given_frames), operation.train()(*given_frames)
        kept = dropped != 0
        torch.testing.assert_close(dropped[kept], 2 * whole[kept])
        lost = ((whole != 0) & ~kept).sum() / (whole != 0).sum()
        assert 0.4 < lost < 0.6
