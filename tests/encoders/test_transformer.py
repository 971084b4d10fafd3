"""Our own encoders: size, seed, seams, folder."""

import json
from dataclasses import replace

import librosa
import numpy as np
import pytest
import torch

from mfas.encoders import COMPACT, TABLE1, EncoderConfig, TransformerEncoder
from mfas.encoders.front_ends import LogMel
from mfas.encoders.layers import TransformerLayer
from mfas.encoders.settings import LogMelSettings
from mfas.errors import ModelError

OURS = pytest.mark.parametrize("kind", ["compact", "table1"])


def weights(encoder: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in encoder.parameters())


def test_table1_has_the_papers_size_and_frame_rate():
    encoder = TransformerEncoder(TABLE1)
    assert 19.0e6 < weights(encoder) < 19.4e6
    assert (encoder.depth, encoder.dim, encoder.receptive_field) == (4, 512, 400)
    assert encoder.frames_per_segment == 149


def test_compact_has_3_3_million_weights_and_the_same_frame_rate():
    encoder = TransformerEncoder(COMPACT)
    assert 3.2e6 < weights(encoder) < 3.4e6
    assert encoder.frames_per_segment == 149
    assert not encoder.trained


@OURS
def test_weights_follow_from_the_seed_and_leave_the_global_state_alone(kind, small_configs):
    state = torch.get_rng_state()
    first = TransformerEncoder(small_configs[kind], seed=5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again = TransformerEncoder(small_configs[kind], seed=5)
    other = TransformerEncoder(small_configs[kind], seed=6)
    assert first.fingerprint() == again.fingerprint()
    assert first.fingerprint() != other.fingerprint()


@OURS
def test_levels_are_layers_1_half_and_last(kind, small_configs, noise):
    encoder = TransformerEncoder(small_configs[kind]).freeze()
    waveforms_BN, samples_B = noise([48_000])
    start = encoder.front_end(waveforms_BN, samples_B)
    outputs = encoder.context(start.features_BTD, start.mask_BT)
    assert len(outputs) == encoder.depth
    levels_LTD = encoder(waveforms_BN, samples_B).hidden_BLTD[0]
    for level, layer in enumerate((1, 2, 4)):
        torch.testing.assert_close(levels_LTD[level], outputs[layer - 1].hidden_BTD[0])
    tec = TransformerEncoder(small_configs[kind], "tec").freeze()
    assert tec.layers == (4,)
    torch.testing.assert_close(tec(waveforms_BN, samples_B).hidden_BLTD[0, 0], levels_LTD[2])


def test_seams_take_any_length_and_fewer_frames(small_configs):
    encoder = TransformerEncoder(small_configs["compact"])
    generator = torch.Generator().manual_seed(0)
    start = encoder.front_end(
        torch.randn(2, 64_000, generator=generator), torch.tensor([64_000, 9])
    )
    assert start.features_BTD.shape == (2, 199, 32)
    assert start.mask_BT.sum(1).tolist() == [199, 1]
    positioned_BTD = encoder.position(start.features_BTD, start.mask_BT)
    outputs = encoder.transform(positioned_BTD[:, ::3], start.mask_BT[:, ::3])
    assert outputs[-1].ffn_BTD.shape == (2, 67, 32)


def test_finetuning_reaches_every_weight_and_frozen_ones_stay(small_configs, noise):
    encoder = TransformerEncoder(small_configs["table1"], "tec").train()
    encoder(*noise([48_000, 10_000])).hidden_BLTD.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    frozen = encoder.freeze()
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert not torch.nn.Sequential(frozen).train()[0].training
    assert not frozen(*noise([9_000])).hidden_BLTD.requires_grad


def test_log_mel_is_librosas(noise):
    waveforms_BN, _ = noise([48_000])
    settings = LogMelSettings()
    ours_MF = LogMel(settings, dim=8).log_mel(waveforms_BN)[0].numpy()
    power_FM = librosa.feature.melspectrogram(
        y=waveforms_BN[0].numpy(), sr=16_000, n_fft=400, hop_length=160, n_mels=80, center=False
    )
    theirs_FM = (np.log(power_FM + settings.floor) - settings.mean) / settings.std
    np.testing.assert_allclose(ours_MF, theirs_FM.T, atol=1e-4)


def test_two_log_mel_frames_beside_each_other_are_projected(noise):
    waveforms_BN, samples_B = noise([48_000, 9_000])
    waveforms_BN = waveforms_BN[:, :16_160]
    front = LogMel(LogMelSettings(bins=20), dim=8)
    mel_BMF, inputs_BTF = front.log_mel(waveforms_BN), front.inputs(waveforms_BN)
    assert mel_BMF.shape == (2, 99, 20)
    assert inputs_BTF.shape == (2, 49, 40)  # an odd last frame is left out
    for t in (0, 20, 48):
        assert inputs_BTF[:, t].equal(torch.cat([mel_BMF[:, 2 * t], mel_BMF[:, 2 * t + 1]], dim=1))
    projected_BTD = inputs_BTF @ front.projection.weight.T + front.projection.bias
    torch.testing.assert_close(front(waveforms_BN, samples_B), projected_BTD)


@OURS
def test_a_saved_encoder_loads_as_it_was(kind, small_configs, noise, tmp_path):
    encoder = TransformerEncoder(small_configs[kind], seed=2)
    encoder.trained = True
    encoder.save(tmp_path / "encoder")
    loaded = TransformerEncoder.load(tmp_path / "encoder")
    assert loaded.trained
    assert loaded.config == encoder.config
    assert loaded.fingerprint() == encoder.fingerprint()
    given = noise([48_000, 5_000])
    expected_BLTD = encoder.freeze()(*given).hidden_BLTD
    assert torch.equal(loaded.freeze()(*given).hidden_BLTD, expected_BLTD)
    assert sorted(path.name for path in (tmp_path / "encoder").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_the_fingerprint_changes_with_one_weight_and_with_the_settings(small_configs):
    encoder = TransformerEncoder(small_configs["compact"])
    before = encoder.fingerprint()
    with torch.no_grad():
        encoder.blocks[0].ffn_input.weight[0, 0] += 1e-3
    assert encoder.fingerprint() != before
    assert TransformerEncoder(small_configs["compact"], "tec").fingerprint() != before


@pytest.mark.parametrize("damage", ["cut weights", "no weights", "unknown key", "newer format"])
def test_a_damaged_folder_is_one_line(damage, small_configs, tmp_path):
    TransformerEncoder(small_configs["compact"]).save(tmp_path)
    described = json.loads((tmp_path / "config.json").read_text())
    if damage == "cut weights":
        content = (tmp_path / "model.safetensors").read_bytes()
        (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    elif damage == "no weights":
        (tmp_path / "model.safetensors").unlink()
    else:
        described |= {"colour": 1} if damage == "unknown key" else {"mfas_encoder": 99}
    (tmp_path / "config.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match=r"^.*: .*; [a-z ]+$") as raised:
        TransformerEncoder.load(tmp_path)
    assert "\n" not in str(raised.value)


def test_sec_needs_three_layers():
    shallow = EncoderConfig(
        "two", dim=32, depth=2, heads=4, ffn=32, position_kernel=3, log_mel=LogMelSettings()
    )
    assert TransformerEncoder(shallow, "tec").layers == (2,)
    with pytest.raises(ModelError, match="two: has 2 transformer layers but SEC needs 3"):
        TransformerEncoder(shallow, "sec")


def test_dropout_leaves_attention_weights_alone() -> None:
    layer = TransformerLayer(replace(COMPACT, dropout=0.5)).train()
    hidden_BTD = torch.randn(2, 9, COMPACT.dim, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer._attend(hidden_BTD, None), layer._attend(hidden_BTD, None))
    assert not torch.equal(layer(hidden_BTD, None).hidden_BTD, layer(hidden_BTD, None).hidden_BTD)
