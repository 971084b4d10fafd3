"""Errors of guesses over masked frames, and the log-mel that is guessed."""

import numpy as np
import pytest
import torch

from mfas.errors import RecipeError
from mfas.pretrain import reconstruction
from mfas.pretrain.reconstruction import masked_error, masked_mel, mel_width


def test_masked_error_is_a_mean_over_masked_frames() -> None:
    guess_RTO, target_RTO = torch.zeros(2, 3, 2), torch.arange(12.0).reshape(2, 3, 2)
    mask_RT = torch.tensor([[True, False, False], [True, False, True]])
    wanted = np.mean([np.mean([0, 1]), np.mean([36, 49]), np.mean([100, 121])])
    assert masked_error(guess_RTO, target_RTO, mask_RT).item() == pytest.approx(wanted)


def test_masked_error_gives_a_gradient_to_guesses_of_masked_frames_alone() -> None:
    guess_RTO = torch.ones(2, 3, 2, requires_grad=True)
    mask_RT = torch.tensor([[True, False, False], [True, False, True]])
    masked_error(guess_RTO, torch.zeros(2, 3, 2), mask_RT).backward()
    wanted_RTO = (2 / 6) * mask_RT[..., None].expand(2, 3, 2).float()
    assert guess_RTO.grad is not None and torch.allclose(guess_RTO.grad, wanted_RTO)


def test_masked_error_counts_the_frames_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here 3 frames are masked and on the other process 5; the mean of both shares is the whole."""
    monkeypatch.setattr(reconstruction, "mean_over_processes", lambda count: (count + 5) / 2)
    guess_RTO, target_RTO = torch.zeros(2, 3, 2), torch.arange(12.0).reshape(2, 3, 2)
    mask_RT = torch.tensor([[True, False, False], [True, False, True]])
    own = np.mean([0, 1]) + np.mean([36, 49]) + np.mean([100, 121])
    assert masked_error(guess_RTO, target_RTO, mask_RT).item() == pytest.approx(own / 4)


def test_masked_error_of_rough_guesses_is_exact() -> None:
    guess_RTO = torch.full((1, 300, 2), 3.0, dtype=torch.bfloat16)
    error = masked_error(guess_RTO, torch.zeros(1, 300, 2), torch.ones(1, 300, dtype=torch.bool))
    assert error.dtype == torch.float32
    assert error.item() == 9  # the sum, 2700, is none of bfloat16


@pytest.mark.parametrize("samples", [9600, 9760])
def test_what_is_guessed_is_two_log_mel_frames_beside_each_other(
    samples, tiny_encoder, noisy_batch
) -> None:
    """As many as the encoder has frames; an odd last one is left out."""
    encoder, batch = tiny_encoder(), noisy_batch(2, samples / 16_000)
    frames = encoder.front_end(batch.waveforms_BN, batch.samples_B).mask_BT.shape[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found_BTF = masked_mel(encoder, batch.waveforms_BN)
    assert found_BTF.shape == (2, frames, mel_width(encoder, "key")) == (2, 29, 160)
    assert found_BTF.dtype == torch.float32
    mel_BMF = encoder.front.log_mel(batch.waveforms_BN)
    assert mel_BMF.shape[1] == 58 + (samples == 9760)
    for t in (0, 13, 28):
        assert found_BTF[:, t].equal(torch.cat([mel_BMF[:, 2 * t], mel_BMF[:, 2 * t + 1]], dim=1))


def test_what_is_guessed_gives_no_gradient(tiny_encoder, noisy_batch) -> None:
    waveforms_BN = noisy_batch(2).waveforms_BN.clone().requires_grad_()
    assert not masked_mel(tiny_encoder(), waveforms_BN).requires_grad


def test_without_a_log_mel_front_end_the_key_is_named(tiny_encoder) -> None:
    with pytest.raises(RecipeError) as raised:
        mel_width(tiny_encoder("convolutions"), "some.key")
    assert str(raised.value) == "some.key: the encoder has no log-mel front end; set it to 0"
