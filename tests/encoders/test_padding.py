"""Padding never changes results: not in frozen encoders, and not in padded training batches."""

from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KINDS = ("compact", "table1", "wav2vec2", "large-style", "data2vec-audio", "hubert", "wavlm")
FULL = 48_000
# float32 rounding through a few layer norms; padding that leaks in changes frames by 1e-2 and more
ROUNDING = 5e-5

kinds = pytest.mark.parametrize("kind", KINDS)
few = settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def encoder_of(make_encoder):
    """Encoders by kind and state; "padded" is as in training, but without dropout."""

    @cache
    def make(kind, state):
        encoder = make_encoder(kind)
        return encoder.freeze() if state == "frozen" else encoder.eval()

    return make


@kinds
def test_shapes_masks_and_zeros(kind, encoder_of, noise):
    encoder = encoder_of(kind, "frozen")
    frames = encoder(*noise([FULL, 20_000, 300]))
    assert frames.hidden_BLTD.shape == (3, 3, 149, 32)
    assert frames.hidden_BLTD.dtype == torch.float32
    assert encoder.frames_per_segment == 149
    counts = encoder.frame_counts(torch.tensor([FULL, 20_000, 300, 0]))
    assert frames.mask_BT.sum(1).tolist() == counts.tolist()[:3]
    assert counts[0] == 149
    assert counts[2:].tolist() == [1, 1]
    assert (frames.hidden_BLTD.transpose(1, 2)[~frames.mask_BT] == 0).all()
    assert (frames.hidden_BLTD.transpose(1, 2)[frames.mask_BT].std(-1) > 0.1).all()


@kinds
@few
@given(lengths=st.lists(st.integers(1, FULL), min_size=2, max_size=3))
def test_a_segment_alone_and_in_a_padded_batch_give_equal_frames(kind, encoder_of, noise, lengths):
    waveforms_BN, samples_B = noise(lengths)
    padded = encoder_of(kind, "padded")(waveforms_BN, samples_B)
    unpadded = encoder_of(kind, "frozen")(waveforms_BN, samples_B)
    torch.testing.assert_close(padded.mask_BT, unpadded.mask_BT)
    torch.testing.assert_close(padded.hidden_BLTD, unpadded.hidden_BLTD, atol=ROUNDING, rtol=0)
    alone = encoder_of(kind, "frozen")(waveforms_BN[-1:], samples_B[-1:])
    torch.testing.assert_close(alone.hidden_BLTD[0], unpadded.hidden_BLTD[-1], atol=1e-5, rtol=0)


@kinds
@pytest.mark.parametrize("state", ["padded", "frozen"])
def test_what_lies_behind_the_end_is_never_seen(kind, state, encoder_of, noise):
    waveforms_BN, samples_B = noise([FULL, 30_001, 2_000])
    garbage_BN = waveforms_BN.clone()
    garbage_BN[1, 30_001:] = 7.0
    garbage_BN[2, 2_000:] = torch.nan
    encoder = encoder_of(kind, state)
    clean, dirty = encoder(waveforms_BN, samples_B), encoder(garbage_BN, samples_B)
    assert torch.equal(clean.hidden_BLTD, dirty.hidden_BLTD)


@kinds
def test_a_short_tensor_is_a_segment_whose_rest_is_padding(kind, encoder_of, noise):
    waveforms_BN, samples_B = noise([9_000])
    encoder = encoder_of(kind, "frozen")
    short, padded = encoder(waveforms_BN[:, :9_000], samples_B), encoder(waveforms_BN, samples_B)
    assert torch.equal(short.hidden_BLTD, padded.hidden_BLTD)
