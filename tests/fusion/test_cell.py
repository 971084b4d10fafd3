"""The Fusion Cell is eq. (6), and lets gradients through where the paper does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mfas.fusion import LEVELS, OPERATIONS, FusionCell, Strategy

DIM = 12
NAMES = tuple(OPERATIONS)
EVERYTHING = [Strategy(level, operation) for level in LEVELS for operation in NAMES]
each_level = pytest.mark.parametrize("level", LEVELS)
each_strategy = pytest.mark.parametrize("strategy", EVERYTHING, ids=str)


def mixture(seed: int = 0, **options: object) -> FusionCell:
    """A cell whose weights are not uniform."""
    torch.manual_seed(seed)
    cell = FusionCell(DIM, **options).eval()
    with torch.no_grad():
        cell.alpha.normal_()
    return cell


def fixed_like(cell: FusionCell, strategy: Strategy, **options: object) -> FusionCell:
    """A fixed cell with the weights that `cell` has for `strategy`."""
    fixed = FusionCell.from_strategy(strategy, DIM, **options).eval()
    own = cell.operations[strategy.level][strategy.operation]
    fixed.operations[strategy.level][strategy.operation].load_state_dict(own.state_dict())
    return fixed


def decide(cell: FusionCell, strategy: Strategy) -> None:
    """Drive alpha so far that softmax is exactly one-hot at the strategy's level."""
    with torch.no_grad():
        cell.alpha[LEVELS.index(strategy.level), NAMES.index(strategy.operation)] = 1e4


@settings(max_examples=30)
@given(st.lists(st.floats(-30, 30), min_size=24, max_size=24))
def test_weights_are_a_softmax_per_level(values):
    cell = FusionCell(DIM)
    with torch.no_grad():
        cell.alpha.copy_(torch.tensor(values).view(3, 8))
    weights = cell.weights()
    assert weights.shape == (3, 8)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3))
    torch.testing.assert_close(weights, cell.alpha.detach().softmax(dim=1))


def test_a_new_cell_prefers_nothing():
    assert torch.equal(FusionCell(DIM).weights(), torch.full((3, 8), 1 / 8))


@each_level
def test_equation_6(level, frames):
    tec, sec, mask = frames([9, 4])
    cell = mixture()
    alpha = cell.alpha.detach()[LEVELS.index(level)]
    shares = alpha.exp() / alpha.exp().sum()
    with torch.no_grad():
        expected = sum(
            share * cell.operations[level][name](tec, sec, mask)
            for share, name in zip(shares, NAMES, strict=True)
        )
        torch.testing.assert_close(cell(tec, sec, level, mask), expected)


def test_levels_have_modules_of_their_own(frames):
    tec, sec, mask = frames([9])
    cell = mixture()
    with torch.no_grad():
        cell.alpha.zero_()
        outputs = [cell(tec, sec, level, mask) for level in LEVELS]
    assert not torch.allclose(outputs[0], outputs[1])
    assert not torch.allclose(outputs[1], outputs[2])


@each_strategy
def test_a_decided_mixture_a_single_path_and_a_fixed_cell_agree(strategy, frames):
    tec, sec, mask = frames([9, 4])
    cell = mixture()
    fixed = fixed_like(cell, strategy)
    with torch.no_grad():
        path = cell(tec, sec, strategy.level, mask, operation=strategy.operation)
        decide(cell, strategy)
        assert torch.equal(cell(tec, sec, strategy.level, mask), path)
        assert torch.equal(fixed(tec, sec, strategy.level, mask), path)


@each_strategy
def test_a_fixed_cell_holds_one_operation(strategy):
    cell = FusionCell.from_strategy(strategy, DIM)
    assert cell.strategy() == strategy
    one_hot = [[float(name == strategy.operation) for name in NAMES]] * 3
    assert cell.weights().tolist() == one_hot
    trained = sum(parameter.numel() for parameter in cell.parameters() if parameter.requires_grad)
    assert trained == sum(p.numel() for p in OPERATIONS[strategy.operation](DIM).parameters())


@each_level
@pytest.mark.parametrize("operation", [None, *NAMES])
def test_gradients_of_a_mixture(level, operation, frames):
    tec, sec, mask = frames([9, 4])
    tec.requires_grad_()
    sec.requires_grad_()
    cell = mixture()
    target = torch.randn(tec.shape, generator=torch.Generator().manual_seed(1))
    loss = (cell(tec, sec, level, mask, operation) * target).sum()
    if operation == "zero":
        assert not loss.requires_grad
        return
    loss.backward()
    assert tec.grad is not None and tec.grad[mask].abs().sum() > 0
    if level == "last":
        assert sec.grad is not None and sec.grad[mask].abs().sum() > 0
    else:
        assert sec.grad is None
    row = LEVELS.index(level)
    if operation is None:
        assert (cell.alpha.grad[row] != 0).all()
        assert not cell.alpha.grad[torch.arange(3) != row].any()
    else:
        assert cell.alpha.grad is None


@pytest.mark.parametrize("strategy", [s for s in EVERYTHING if s.operation != "zero"], ids=str)
def test_gradients_of_a_fixed_cell(strategy, frames):
    tec, sec, mask = frames([9, 4])
    tec.requires_grad_()
    sec.requires_grad_()
    cell = FusionCell.from_strategy(strategy, DIM).eval()
    target = torch.randn(tec.shape, generator=torch.Generator().manual_seed(1))
    (cell(tec, sec, strategy.level, mask) * target).sum().backward()
    assert tec.grad[mask].abs().sum() > 0
    assert (sec.grad is not None) == (strategy.level == "last")
    assert cell.alpha.grad is None


@pytest.fixture(scope="module")
def mixtures() -> dict[bool, FusionCell]:
    return {residual: mixture(residual=residual) for residual in (False, True)}


@settings(max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=3),
    level=st.sampled_from(LEVELS),
    residual=st.booleans(),
    garbage=st.floats(-1e4, 1e4),
)
def test_masked_frames_neither_count_nor_carry_anything(
    frames, mixtures, lengths, level, residual, garbage
):
    tec, sec, mask = frames(lengths)
    cell = mixtures[residual]
    behind = garbage * ~mask.unsqueeze(-1)
    with torch.no_grad():
        clean = cell(tec, sec, level, mask)
        assert torch.equal(cell(tec - behind, sec + behind, level, mask), clean)
    assert not clean[~mask].any()


def test_without_a_mask_every_frame_is_real(frames):
    tec, sec, mask = frames([9, 9])
    cell = mixture()
    with torch.no_grad():
        assert torch.equal(cell(tec, sec, "middle"), cell(tec, sec, "middle", mask))


@each_strategy
def test_the_residual_option(strategy, frames):
    tec, sec, mask = frames([9, 4])
    cell = mixture(residual=True)
    plain = fixed_like(cell, strategy)
    with torch.no_grad():
        cell.norm.weight.normal_()
        adjusted = plain(tec, sec, strategy.level, mask)
        expected = torch.nn.functional.layer_norm(
            tec + adjusted, (DIM,), cell.norm.weight, cell.norm.bias
        )
        seen = cell(tec, sec, strategy.level, mask, operation=strategy.operation)
    torch.testing.assert_close(seen[mask], expected[mask])
    assert not seen[~mask].any()


@given(
    st.lists(st.floats(-3, 3), min_size=24, max_size=24, unique=True),
    st.lists(st.floats(0, 1), min_size=3, max_size=3, unique=True),
)
@settings(max_examples=40)
def test_the_strategy_is_the_best_level_and_its_heaviest_operation(values, scores):
    cell = FusionCell(DIM)
    alpha = torch.tensor(values, dtype=torch.float64).view(3, 8)
    with torch.no_grad():
        cell.alpha.copy_(alpha)
    best = scores.index(max(scores))
    found = cell.strategy(dict(zip(LEVELS, scores, strict=True)))
    assert found.level == LEVELS[best]
    weights = cell.weights()[best]
    assert weights[NAMES.index(found.operation)] == weights.max()


def test_large_weights_of_a_level_do_not_make_it_the_best():
    cell = FusionCell(DIM)
    decide(cell, Strategy("first", "sum"))
    decide(cell, Strategy("last", "ism"))
    assert cell.strategy({"first": 0.4, "middle": 0.3, "last": 0.5}) == Strategy("last", "ism")
    assert cell.strategy({"first": 0.6, "middle": 0.3, "last": 0.5}) == Strategy("first", "sum")


def test_without_scores_the_most_decided_level_is_read():
    cell = FusionCell(DIM)
    decide(cell, Strategy("middle", "attention_r"))
    assert cell.strategy() == Strategy("middle", "attention_r")


def test_a_level_that_a_cell_does_not_have(frames):
    tec, sec, mask = frames([9])
    fixed = FusionCell.from_strategy(Strategy("last", "ism"), DIM)
    with pytest.raises(ValueError, match="level 'first': this cell has last"):
        fixed(tec, sec, "first", mask)
    with pytest.raises(ValueError, match="'medium': this cell has first, middle, last"):
        mixture()(tec, sec, "medium", mask)


@each_level
@pytest.mark.parametrize("name", NAMES)
def test_without_an_operation_the_others_keep_their_weights(frames, level, name):
    cell = mixture()
    tec, sec, mask = frames([9, 4])
    whole = cell(tec, sec, level, mask)
    weight = cell.weights()[LEVELS.index(level), NAMES.index(name)]
    expected = whole - weight * cell(tec, sec, level, mask, name)
    with cell.without(name):
        assert torch.allclose(cell(tec, sec, level, mask), expected, atol=1e-6)
    assert torch.equal(cell(tec, sec, level, mask), whole)
