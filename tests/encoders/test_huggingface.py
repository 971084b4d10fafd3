"""Hugging Face models give their own hidden states, and only with all of their weights."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, BertConfig, Wav2Vec2Config, Wav2Vec2ForCTC

from mfas.config import EncoderSection
from mfas.encoders import HuggingFaceEncoder, load_encoder
from mfas.encoders.random_models import TINY
from mfas.errors import ModelError

KINDS = ("wav2vec2", "large-style", "data2vec-audio", "hubert", "wavlm")


@pytest.fixture
def wav2vec2_copy(folders, tmp_path):
    """A folder to damage."""
    for file in folders["wav2vec2"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder, role="sec"):
    with pytest.raises(ModelError) as raised:
        load_encoder(EncoderSection(encoder=str(folder)), role)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"{folder}: ")
    assert "; " in message
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_levels_are_the_models_own_hidden_states(kind, folders, noise):
    waveforms_BN, samples_B = noise([48_000, 48_000])
    model = AutoModel.from_pretrained(folders[kind]).eval()
    mean_B1 = waveforms_BN.mean(1, keepdim=True)
    std_B1 = (waveforms_BN.var(1, keepdim=True, correction=0) + 1e-7).sqrt()
    with torch.no_grad():
        expected = model((waveforms_BN - mean_B1) / std_B1, output_hidden_states=True)
    frames = HuggingFaceEncoder(folders[kind]).freeze()(waveforms_BN, samples_B)
    levels = [expected.hidden_states[1], expected.hidden_states[2], expected.last_hidden_state]
    for level, theirs_BTD in enumerate(levels):
        torch.testing.assert_close(frames.hidden_BLTD[:, level], theirs_BTD, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_finetuning_has_every_level_and_reaches_the_encoder(kind, folders, noise):
    encoder = load_encoder(EncoderSection(encoder=str(folders[kind]), finetune=True), "sec")
    assert encoder.training
    for _ in range(3):  # LayerDrop would leave levels out now and then
        frames = encoder(*noise([48_000, 20_000]))
    frames.hidden_BLTD[:, 2, :, 0].sum().backward()
    reached = [name for name, p in encoder.named_parameters() if p.grad is not None]
    assert "model.feature_extractor.conv_layers.0.conv.weight" in reached
    assert "model.encoder.layers.3.feed_forward.output_dense.weight" in reached


def test_a_frozen_encoder_has_no_gradients_and_says_it_is_untrained(folders):
    encoder = load_encoder(EncoderSection(encoder=str(folders["hubert"])), "tec")
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert (encoder.layers, encoder.dim, encoder.depth) == ((4,), 32, 4)
    assert not encoder.trained
    assert encoder.name == str(folders["hubert"])


def test_a_model_without_the_marker_counts_as_trained(wav2vec2_copy):
    edit_json(wav2vec2_copy / "config.json", mfas_untrained=False)
    assert HuggingFaceEncoder(wav2vec2_copy).trained


def test_normalisation_follows_the_preprocessor(wav2vec2_copy, noise):
    normalised = HuggingFaceEncoder(wav2vec2_copy)
    edit_json(wav2vec2_copy / "preprocessor_config.json", do_normalize=False)
    raw = HuggingFaceEncoder(wav2vec2_copy)
    (wav2vec2_copy / "preprocessor_config.json").unlink()
    silent = HuggingFaceEncoder(wav2vec2_copy)
    assert (normalised.normalise, raw.normalise, silent.normalise) == (True, False, True)
    assert normalised.fingerprint() == silent.fingerprint() != raw.fingerprint()


def test_a_ctc_checkpoint_gives_its_encoder(tmp_path, noise, capfd):
    ctc = Wav2Vec2ForCTC(Wav2Vec2Config(**TINY)).eval()
    ctc.save_pretrained(tmp_path)
    capfd.readouterr()
    encoder = HuggingFaceEncoder(tmp_path, "tec").freeze()
    assert capfd.readouterr() == ("", "")
    waveforms_BN, samples_B = noise([48_000])
    normed_BN = (waveforms_BN - waveforms_BN.mean()) / waveforms_BN.std(correction=0)
    with torch.no_grad():
        expected_BTD = ctc.wav2vec2(normed_BN).last_hidden_state
    given_BTD = encoder(waveforms_BN, samples_B).hidden_BLTD[:, 0]
    torch.testing.assert_close(given_BTD, expected_BTD, atol=1e-4, rtol=0)


def test_missing_weights_are_refused(wav2vec2_copy):
    weights = load_file(wav2vec2_copy / "model.safetensors")
    del weights["encoder.layers.2.attention.q_proj.weight"]
    save_file(weights, wav2vec2_copy / "model.safetensors", metadata={"format": "pt"})
    assert "1 weights of the encoder are missing, e.g. encoder.layers.2" in refusal(wav2vec2_copy)


def test_weights_of_another_size_are_refused(wav2vec2_copy):
    edit_json(wav2vec2_copy / "config.json", intermediate_size=128)
    assert "weights cannot be loaded" in refusal(wav2vec2_copy)


def test_cut_weights_are_refused(wav2vec2_copy):
    content = (wav2vec2_copy / "model.safetensors").read_bytes()
    (wav2vec2_copy / "model.safetensors").write_bytes(content[:1000])
    assert "weights cannot be loaded" in refusal(wav2vec2_copy)


def test_pickled_weights_are_refused(wav2vec2_copy):
    (wav2vec2_copy / "model.safetensors").rename(wav2vec2_copy / "pytorch_model.bin")
    assert "has no model.safetensors" in refusal(wav2vec2_copy)


def test_another_sampling_rate_is_refused(wav2vec2_copy):
    edit_json(wav2vec2_copy / "preprocessor_config.json", sampling_rate=8000)
    assert "made for 8000 Hz" in refusal(wav2vec2_copy)


def test_a_text_model_is_refused(tmp_path):
    BertConfig().save_pretrained(tmp_path)
    assert "bert does not give one frame every 20 ms" in refusal(tmp_path)


def test_an_unknown_architecture_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "nonsense"}')
    assert "not a model that transformers knows" in refusal(tmp_path)


def test_too_few_layers_for_sec(wav2vec2_copy):
    edit_json(wav2vec2_copy / "config.json", num_hidden_layers=2)
    assert "has 2 transformer layers but SEC needs 3" in refusal(wav2vec2_copy)
    assert HuggingFaceEncoder(wav2vec2_copy, "tec").layers == (2,)
