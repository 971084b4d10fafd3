"""The whole model: which frames count, where gradients go, and that padding is never seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfas.audio import segment
from mfas.encoders import Frames, encode_segments
from mfas.fusion import LEVELS, OPERATIONS, Strategy
from mfas.model import Batch, StoredFrames, build_model

each_level = pytest.mark.parametrize("level", LEVELS)


def stored(encoder, segments) -> Frames:
    """Frames of a recording as the cache keeps them."""
    hidden_BLTD = torch.from_numpy(encode_segments(encoder, segments)).float()
    counts_B = encoder.frame_counts(torch.from_numpy(segments.samples_S))
    return Frames(hidden_BLTD, torch.arange(hidden_BLTD.shape[2]) < counts_B.unsqueeze(-1))


@pytest.fixture(scope="module")
def stored_batch(encoder, batch, voice) -> Batch:
    segments = segment(voice(7 * 16_000))
    frames = {role: stored(encoder(role), segments) for role in ("sec", "tec")}
    return replace(batch, waveforms_BN=None, **frames)


@pytest.mark.parametrize(
    "strategy", [None, Strategy("first", "attention"), Strategy("last", "ism")]
)
@pytest.mark.parametrize("dim", [None, 20])
def test_stored_frames_and_waveforms_give_the_same_bits(
    strategy, dim, encoder, recipe, batch, stored_batch
):
    sec, tec = encoder("sec"), encoder("tec")
    settings = recipe(fusion={"dim": dim} if dim else {})
    live = build_model(settings, sec, tec, 3, strategy, seed=1).eval()
    cached = build_model(settings, StoredFrames(sec), StoredFrames(tec), 3, strategy, seed=1).eval()
    with torch.no_grad():
        assert torch.equal(cached(stored_batch, "middle"), live(batch, "middle"))


def test_a_model_without_encoders_needs_stored_frames(encoder, recipe, batch):
    model = build_model(recipe(), StoredFrames(encoder("sec")), None, 3, None, seed=0)
    with pytest.raises(AssertionError, match="without stored frames"):
        model(batch)


@pytest.mark.parametrize("frozen", [True, False])
def test_what_lies_behind_the_end_is_never_seen(frozen, encoder, recipe, batch):
    model = build_model(
        recipe(fusion={"dim": 20}), encoder("sec", frozen=frozen), encoder("tec", frozen=frozen),
        3, None, seed=0,
    ).eval()  # fmt: skip
    behind_BN = torch.arange(48_000) >= batch.samples_B.unsqueeze(-1)
    behind_BV = torch.arange(300) >= batch.frames_B.unsqueeze(-1)
    dirty = replace(
        batch,
        waveforms_BN=batch.waveforms_BN + 0.5 * behind_BN,
        spectrograms_BFV=batch.spectrograms_BFV - 30.0 * behind_BV.unsqueeze(1),
        mfccs_BVC=batch.mfccs_BVC + 99.0 * behind_BV.unsqueeze(2),
    )
    assert behind_BN.any() and behind_BV.any()
    with torch.no_grad():
        assert torch.equal(model(dirty, "middle"), model(batch, "middle"))


def test_a_segment_alone_gets_what_it_gets_in_a_batch(encoder, recipe, batch):
    model = build_model(recipe(), encoder("sec"), encoder("tec"), 3, None, seed=0).eval()
    with torch.no_grad():
        together_BK = model(batch, "last")
        for i in range(3):
            rows = {k: v[i : i + 1] for k, v in vars(batch).items() if v is not None}
            alone_BK = model(replace(batch, **rows), "last")
            torch.testing.assert_close(alone_BK[0], together_BK[i], atol=1e-5, rtol=0)


def changes(model, batch: Batch, stream: str, index: int, *path: str) -> bool:
    """Whether the model's answer depends on one level of a stream."""
    frames = getattr(batch, stream)
    hidden_BLTD = frames.hidden_BLTD.clone()
    hidden_BLTD[:, index] = hidden_BLTD[:, index].flip(-1)
    other = replace(batch, **{stream: replace(frames, hidden_BLTD=hidden_BLTD)})
    with torch.no_grad():
        return not torch.equal(model(other, *path), model(batch, *path))


@each_level
@pytest.mark.parametrize("fixed", [True, False])
def test_the_chosen_level_adjusts_and_the_last_goes_to_the_head(
    level, fixed, encoder, recipe, stored_batch
):
    strategy = Strategy(level, "sum") if fixed else None
    model = build_model(recipe(), encoder("sec"), encoder("tec"), 3, strategy, seed=0).eval()
    path = () if fixed else (level,)
    for index, name in enumerate(LEVELS):
        counts = changes(model, stored_batch, "sec", index, *path)
        assert counts == (name in (level, "last"))
    assert changes(model, stored_batch, "tec", 0, *path)


def test_without_a_cell_tec_is_not_adjusted(encoder, recipe, stored_batch):
    plain = recipe(fusion={"strategy": "none"})
    model = build_model(plain, encoder("sec"), encoder("tec"), 3, None, seed=0).eval()
    seen = [changes(model, stored_batch, "sec", index) for index in range(3)]
    assert seen == [False, False, True]
    head_only = []
    model.head.register_forward_pre_hook(lambda module, inputs: head_only.append(inputs[3]))
    model(stored_batch)
    assert torch.equal(head_only[0][1], stored_batch.tec.hidden_BLTD[:, -1])


def gradient(module: torch.nn.Module) -> float:
    grads = [p.grad.abs().sum().item() for p in module.parameters() if p.grad is not None]
    return sum(grads)


@each_level
@pytest.mark.parametrize("operation", [None, *OPERATIONS])
def test_the_adjustment_trains_sec_through_its_last_level_alone(
    level, operation, encoder, recipe, batch
):
    sec, tec = encoder("sec", frozen=False).eval(), encoder("tec", frozen=False).eval()
    strategy = Strategy(level, operation) if operation else None
    model = build_model(recipe(), sec, tec, 3, strategy, seed=0).eval()
    model.head.register_forward_pre_hook(without_sec)
    model(batch, level).square().sum().backward()
    assert (gradient(sec) > 0) == (level == "last" and operation != "zero")
    assert (gradient(tec) > 0) == (operation != "zero")
    assert (model.cell.alpha.grad is not None) == (operation is None)


def without_sec(_module, inputs):
    """Cut S_n on its way to the head, so that only the adjustment is left."""
    *views, (sec_BTD, tec_BTD), masks_BT = inputs
    return *views, [sec_BTD.detach(), tec_BTD], masks_BT


def sec_gradients(model, batch: Batch, level: str) -> list[torch.Tensor]:
    model.zero_grad()
    model(batch, level).square().sum().backward()
    return [p.grad.clone() for p in model.sec.parameters() if p.grad is not None]


@each_level
def test_sec_is_trained_by_the_head_as_if_nothing_were_adjusted(level, encoder, recipe, batch):
    sec, tec = encoder("sec", frozen=False), encoder("tec", frozen=False)
    model = build_model(recipe(), sec, tec, 3, Strategy(level, "ism"), seed=0).eval()
    usual = sec_gradients(model, batch, level)
    model.cell.register_forward_pre_hook(
        lambda module, inputs: (inputs[0], inputs[1].detach(), *inputs[2:])
    )
    direct = sec_gradients(model, batch, level)
    assert any(grad.any() for grad in direct)
    same = all(torch.equal(a, b) for a, b in zip(usual, direct, strict=True))
    assert same == (level != "last")


def test_frozen_encoders_get_no_gradients(encoder, recipe, batch):
    model = build_model(recipe(), encoder("sec"), encoder("tec"), 3, None, seed=0).train()
    model(batch, "last").square().sum().backward()
    assert gradient(model.sec) == gradient(model.tec) == 0
    assert gradient(model.head) > 0
    assert gradient(model.cell) > 0
    assert not model.sec.training


def test_views_are_rounded_as_the_cache_rounds_them(voice):
    segments = segment(voice(50_000))
    batch = Batch.from_segments(segments)
    expected = segments.spectrograms_SFT.astype(np.float16).astype(np.float32)
    assert np.array_equal(batch.spectrograms_BFV.numpy(), expected)
    expected = segments.mfccs_STC.astype(np.float16).astype(np.float32)
    assert np.array_equal(batch.mfccs_BVC.numpy(), expected)


def test_a_batch_moves_with_all_it_has(batch, stored_batch):
    for given in (batch, stored_batch):
        moved = given.to(torch.device("meta"))
        assert {name for name, v in vars(moved).items() if v is None} == {
            name for name, v in vars(given).items() if v is None
        }
        assert moved.spectrograms_BFV.is_meta
    assert moved.sec.hidden_BLTD.is_meta
    assert moved.sec.mask_BT.is_meta


@each_level
def test_the_projection_learns_at_every_level_but_the_encoder_only_at_the_last(
    encoder, recipe, batch, level
):
    """Of the adjustment's gradient, the head's own path through S_n cut off."""
    sec, strategy = encoder("sec", frozen=False), Strategy(level, "sum")
    model = build_model(recipe(fusion={"dim": 16}), sec, encoder("tec"), 3, strategy, seed=0)
    sec, tec = model.encoded("sec", batch), model.encoded("tec", batch)
    model._adjusted(sec, tec, None, None).square().sum().backward()
    assert gradient(model.projections["sec"]) > 0
    assert (gradient(model.sec) > 0) == (level == "last")
