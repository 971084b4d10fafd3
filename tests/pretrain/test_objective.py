"""What all objectives share: random levels of rows."""

import numpy as np
import pytest
import torch

from mfas.pretrain import SpeechBatch
from mfas.pretrain.objective import mean_over_processes, vary_level


def gains_db(before: SpeechBatch, after: SpeechBatch) -> np.ndarray:
    ratios_BN = after.waveforms_BN / before.waveforms_BN
    assert torch.allclose(ratios_BN, ratios_BN[:, :1], rtol=1e-4)
    return 20 * np.log10(ratios_BN[:, 0].numpy())


def test_levels_vary_up_to_the_limit_and_row_by_row(noisy_batch):
    batch = noisy_batch(200, seconds=0.01)
    varied = vary_level(batch, 6.0, torch.Generator().manual_seed(0))
    found_B = gains_db(batch, varied)
    assert np.abs(found_B).max() <= 6.001
    assert found_B.max() > 5
    assert found_B.min() < -5
    assert found_B.mean() == pytest.approx(0, abs=0.7)
    assert (varied.samples_B is batch.samples_B, varied.all_rows) == (True, 200)


def test_without_a_range_nothing_is_drawn(noisy_batch):
    generator, batch = torch.Generator().manual_seed(0), noisy_batch(3)
    before = generator.get_state()
    assert vary_level(batch, 0.0, generator) is batch
    assert torch.equal(generator.get_state(), before)


def test_rows_of_several_processes_vary_as_in_one(noisy_batch):
    batch = noisy_batch(6, seconds=0.01)
    whole = vary_level(batch, 6.0, torch.Generator().manual_seed(3)).waveforms_BN
    for first in (0, 3):
        part = SpeechBatch(batch.waveforms_BN[first : first + 3], batch.samples_B, (), first, 6)
        varied = vary_level(part, 6.0, torch.Generator().manual_seed(3)).waveforms_BN
        assert torch.equal(varied, whole[first : first + 3])


def test_a_batch_goes_to_another_device_whole(noisy_batch):
    moved = noisy_batch(2).to(torch.device("meta"))
    assert {moved.waveforms_BN.device.type, moved.samples_B.device.type} == {"meta"}
    assert moved.all_rows == 2


def test_alone_a_mean_over_processes_is_the_value():
    value = torch.ones(3, requires_grad=True)
    assert mean_over_processes(value) is value
