"""What a recipe names becomes an encoder, or one line that says why not."""

import logging

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from mfas.config import EncoderSection
from mfas.encoders import HuggingFaceEncoder, TransformerEncoder, load, load_encoder
from mfas.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def refusal(name, **section):
    with pytest.raises(ModelError) as raised:
        load_encoder(EncoderSection(encoder=name, **section), "sec")
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"{name}: ")
    return message


def test_compact_follows_the_sections_seed_and_is_frozen():
    one, other = (load_encoder(EncoderSection(seed=seed), "sec") for seed in (1, 2))
    assert (one.name, one.trained, one.layers) == ("compact", False, (1, 2, 4))
    assert one.frozen and not one.training
    assert one.fingerprint() != other.fingerprint()


def test_finetune_leaves_it_trainable():
    encoder = load_encoder(EncoderSection(finetune=True), "tec")
    assert encoder.training and not encoder.frozen
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_a_folder_of_ours(small_configs, tmp_path):
    TransformerEncoder(small_configs["compact"], seed=9).save(tmp_path)
    loaded = load_encoder(EncoderSection(encoder=str(tmp_path)), "tec")
    expected = TransformerEncoder(small_configs["compact"], "tec", seed=9)
    assert loaded.fingerprint() == expected.fingerprint()


def test_a_folder_that_does_not_exist():
    assert "no such folder" in refusal("models/of/mine")
    assert "no such folder" in refusal("compcat")
    assert "no such folder" in refusal("none")


def test_a_folder_without_an_encoder(tmp_path):
    assert "has no config.json" in refusal(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    assert "not valid JSON" in refusal(str(tmp_path))


def test_a_hub_that_cannot_be_reached(monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise LocalEntryNotFoundError("An error happened\nwhile trying to locate the files")

    monkeypatch.setattr(load, "snapshot_download", unreachable)
    assert "the Hub cannot be reached; go online once" in refusal("owner/model")


@pytest.fixture
def asked(folders, tmp_path, monkeypatch):
    """What is asked of a Hub that has one model."""
    asked = {}
    snapshot = tmp_path / COMMIT
    snapshot.symlink_to(folders["wav2vec2"], target_is_directory=True)

    def download(name, revision, allow_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(snapshot)

    monkeypatch.setattr(load, "snapshot_download", download)
    return asked


@pytest.mark.parametrize(("revision", "warns"), [(None, True), ("main", True), (COMMIT, False)])
def test_a_hub_model_is_pinned_or_says_how(revision, warns, asked, caplog):
    with caplog.at_level(logging.WARNING, logger="mfas"):
        encoder = load_encoder(EncoderSection(encoder="owner/model", revision=revision), "sec")
    assert isinstance(encoder, HuggingFaceEncoder)
    assert encoder.name == "owner/model"
    assert asked["revision"] == revision
    assert not any(pattern.endswith(".bin") for pattern in asked["patterns"])
    assert bool(caplog.messages) == warns
    assert all(COMMIT in message for message in caplog.messages)
