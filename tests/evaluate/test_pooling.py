"""What probes read of an encoder: the frames that the product sees, and nothing behind them."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from mfas.corpora import Manifest, Utterance
from mfas.encoders import COMPACT, TABLE1, ConvolutionSettings, TransformerEncoder
from mfas.encoders import save_random_huggingface as save_random
from mfas.encoders.huggingface import HuggingFaceEncoder
from mfas.errors import ModelError
from mfas.evaluate.pooling import pool_corpus, pool_log_mel

SMALL = replace(COMPACT, dim=32, ffn=64, position_groups=4)
SMALL_TABLE1 = replace(
    TABLE1, dim=32, ffn=64, position_groups=4, convolutions=ConvolutionSettings(channels=16)
)


def write(folder, sounds):
    rows = []
    for number, sound_N in enumerate(sounds):
        path = folder / f"{number:02d}.wav"
        soundfile.write(path, sound_N, 16_000, subtype="FLOAT")
        rows.append(Utterance(path.name, path, "s", "a"))
    return Manifest(tuple(rows))


def our_encoder(config):
    return TransformerEncoder(config, seed=3).freeze()


@pytest.mark.parametrize("config", [SMALL, SMALL_TABLE1], ids=["log-mel", "convolutions"])
def test_pooled_values_are_those_of_the_frames_that_the_product_sees(tmp_path, voice, config):
    encoder = our_encoder(config)
    sounds = [voice(20_000), voice(48_000 + 9_000, seed=1)]
    pooled = pool_corpus(encoder, write(tmp_path, sounds))
    assert pooled.layers == ("stem", "1", "2", "3", "4")
    assert pooled.statistics_ULSD.shape == (2, 5, 2, config.dim)
    assert pooled.utterance_G.tolist() == [0, 1, 1]
    waveforms_BN = torch.zeros(2, 48_000)
    waveforms_BN[0] = torch.from_numpy(sounds[1][:48_000])
    waveforms_BN[1, :9_000] = torch.from_numpy(sounds[1][48_000:])
    frames = encoder(waveforms_BN, torch.tensor([48_000, 9_000]))
    for level, layer in enumerate(encoder.layers):
        real_TD = frames.hidden_BLTD[:, level][frames.mask_BT].numpy()
        mean_D, std_D = pooled.statistics_ULSD[1, layer]
        assert np.allclose(mean_D, real_TD.mean(axis=0), atol=1e-5)
        assert np.allclose(std_D, real_TD.std(axis=0), atol=1e-5)
    for row, segment in enumerate((1, 2)):
        real_TD = frames.hidden_BLTD[row, -1][frames.mask_BT[row]].numpy()
        assert np.allclose(pooled.last_GD[segment], real_TD.mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("probed", ["log-mel", "encoder"])
def test_neither_padding_nor_neighbours_change_pooled_values(tmp_path, voice, probed):
    sounds = [voice(samples, seed=samples) for samples in (8_000, 48_000, 8_000, 30_011, 48_170)]
    encoder = our_encoder(SMALL)
    pool = pool_log_mel if probed == "log-mel" else lambda m: pool_corpus(encoder, m)
    manifest = write(tmp_path, sounds)
    together = pool(manifest)
    for index, utterance in enumerate(manifest):
        alone = pool(Manifest((utterance,)))
        own_G = together.utterance_G == index
        assert np.allclose(alone.statistics_ULSD[0], together.statistics_ULSD[index], atol=1e-5)
        assert np.allclose(alone.last_GD, together.last_GD[own_G], atol=1e-5)


def test_the_log_mel_of_a_steady_tone_varies_little(tmp_path):
    """A recording shorter than a segment: zeros behind it would be far below its frames."""
    seconds = np.arange(16_000) / 16_000
    tone_N = (0.3 * np.sin(2 * np.pi * 1000 * seconds)).astype(np.float32)
    pooled = pool_log_mel(write(tmp_path, [tone_N]))
    assert pooled.statistics_ULSD.shape == (1, 1, 2, 80)
    mean_F, std_F = pooled.statistics_ULSD[0, 0]
    assert std_F[mean_F.argmax()] < 1e-3


def test_a_hugging_face_model_is_pooled_over_the_layers_that_it_returns(tmp_path, voice):
    save_random("wav2vec2", tmp_path / "model", seed=0, size="tiny")
    encoder = HuggingFaceEncoder(tmp_path / "model").freeze()
    sounds = [voice(20_000), voice(50_000)]
    pooled = pool_corpus(encoder, write(tmp_path, sounds))
    assert pooled.layers == tuple(map(str, encoder.layers))
    frames = encoder(torch.from_numpy(sounds[0])[None], torch.tensor([20_000]))
    real_LTD = frames.hidden_BLTD[0][:, frames.mask_BT[0]].numpy()
    assert np.allclose(pooled.statistics_ULSD[0, :, 0], real_LTD.mean(axis=1), atol=1e-5)
    assert np.allclose(pooled.statistics_ULSD[0, :, 1], real_LTD.std(axis=1), atol=1e-5)


def test_frames_that_are_not_finite_are_refused(tmp_path, voice):
    encoder = our_encoder(SMALL)
    encoder.blocks[1].ffn_norm.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="compact: gives frames that are not finite"):
        pool_corpus(encoder, write(tmp_path, [voice(9_000)]))
