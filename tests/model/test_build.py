"""A recipe says which parts a model has; a seed says which weights."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from mfas.errors import ModelError
from mfas.fusion import FusionCell, Strategy
from mfas.heads import SIZES
from mfas.heads.alexnet import AlexNetFeatures
from mfas.model import StoredFrames, build_model

SUM = Strategy("last", "sum")


def refusal(*arguments: object) -> str:
    with pytest.raises(ModelError) as raised:
        build_model(*arguments, classes=3, strategy=SUM, seed=0)
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.fixture
def small_paper_head(monkeypatch):
    """The paper's head with its AlexNet, everything else narrow."""
    narrow = replace(SIZES["paper"], lstm_width=4, lstm_layers=1, lstm_dropout=0.0, code=4)
    monkeypatch.setitem(SIZES, "paper", narrow)


@pytest.mark.parametrize("level", ["first", "middle", "last"])
def test_a_search_needs_the_mixture(level, encoder, recipe, batch):
    model = build_model(recipe(), encoder("sec"), encoder("tec"), 3, None, seed=0).eval()
    assert isinstance(model.cell, FusionCell)
    assert model.cell.only is None
    assert sum(len(level_operations) for level_operations in model.cell.operations.values()) == 24
    with torch.no_grad():
        mixed = model(batch, level)
        single = model(batch, level, "attention")
    torch.testing.assert_close(mixed.exp().sum(dim=1), torch.ones(3))
    assert not torch.allclose(mixed, single)


def test_a_strategy_fixes_the_cell(encoder, recipe, batch):
    model = build_model(recipe(), encoder("sec"), encoder("tec"), 3, SUM, seed=0).eval()
    assert model.cell.strategy() == SUM
    with torch.no_grad():
        assert model(batch).shape == (3, 3)


def test_without_adjustment_there_is_no_cell_but_both_streams(encoder, recipe, batch):
    plain = recipe(fusion={"strategy": "none"})
    model = build_model(plain, encoder("sec"), encoder("tec"), 3, None, seed=0).eval()
    assert model.cell is None
    assert model.head.streams == 2
    with torch.no_grad():
        assert model(batch).shape == (3, 3)


@pytest.mark.parametrize("role", ["sec", "tec"])
def test_one_encoder_alone_is_the_single_stream_co_attention(role, encoder, recipe, batch):
    streams = {"sec": None, "tec": None, role: encoder(role)}
    model = build_model(recipe(), **streams, classes=4, strategy=None, seed=0).eval()
    assert model.cell is None
    assert model.head.streams == 1
    with torch.no_grad():
        log_probabilities_BK = model(batch)
    assert log_probabilities_BK.shape == (3, 4)
    torch.testing.assert_close(log_probabilities_BK.exp().sum(dim=1), torch.ones(3))


def test_encoders_of_other_widths_are_projected(encoder, recipe, batch):
    sec, tec = encoder("sec", 32), encoder("tec", 48)
    message = refusal(recipe(), sec, tec)
    assert "are 32 and 48 wide; set fusion.dim" in message
    model = build_model(recipe(fusion={"dim": 20}), sec, tec, 3, SUM, seed=0).eval()
    assert model.cell.dim == 20
    with torch.no_grad():
        assert model(batch).shape == (3, 3)


def test_encoders_of_other_frame_rates_are_refused(encoder, recipe):
    slow = StoredFrames(encoder("tec"))
    slow.frames_per_segment = 75
    assert "different frame rates; choose others" in refusal(recipe(), encoder("sec"), slow)


def test_no_encoder_is_refused(recipe):
    assert "both none; name at least one" in refusal(recipe(), None, None)


def test_weights_follow_from_the_seed_and_leave_the_global_state_alone(encoder, recipe):
    sec, tec = StoredFrames(encoder("sec")), StoredFrames(encoder("tec"))
    wide = recipe(fusion={"dim": 16})
    state = torch.get_rng_state()
    first = build_model(wide, sec, tec, 3, None, seed=4).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    again = build_model(wide, sec, tec, 3, None, seed=4).state_dict()
    other = build_model(wide, sec, tec, 3, None, seed=5).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if name.endswith("linear.weight")]
    assert drawn
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_fusion_options_arrive(encoder, recipe):
    options = {"residual": True, "ism_form": "x*g(y)", "dropout": 0.37}
    model = build_model(recipe(fusion=options), encoder("sec"), encoder("tec"), 3, None, seed=0)
    assert model.cell.norm is not None
    operations = model.cell.operations["first"]
    assert operations["ism"].form == operations["ism_r"].operation.form == "x*g(y)"
    assert (
        operations["concat_fc"].dropout.p == operations["concat_fc_r"].operation.dropout.p == 0.37
    )


def test_the_heads_dropout_can_be_overridden(encoder, recipe):
    model = build_model(recipe(head={"dropout": 0.0}), encoder("sec"), None, 3, None, seed=0)
    dropouts = [m for m in model.head.modules() if isinstance(m, torch.nn.Dropout)]
    assert dropouts
    assert all(dropout.p == 0 for dropout in dropouts)


def test_alexnet_starts_from_the_given_weights(encoder, recipe, small_paper_head, tmp_path):
    weights = AlexNetFeatures().state_dict()
    save_file(weights, tmp_path / "alexnet.safetensors")
    head = {"size": "paper", "alexnet_weights": str(tmp_path / "alexnet.safetensors")}
    model = build_model(recipe(head=head), encoder("sec"), None, 3, None, seed=0)
    loaded = model.head.image.alexnet.state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_only_the_papers_head_has_an_alexnet(encoder, recipe):
    head = {"size": "compact", "alexnet_weights": "alexnet.pth"}
    assert "only head.size = paper has an AlexNet" in refusal(
        recipe(head=head), encoder("sec"), None
    )
