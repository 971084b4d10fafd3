"""The encoders inside the package: there, small, described, trained, and able to listen."""

import json

import pytest
import torch

from mfas.audio import read_audio
from mfas.config import EncoderSection, Recipe
from mfas.encoders import TransformerEncoder, load_encoder
from mfas.encoders.load import SHIPPED, SHIPPED_FOLDER

MEGABYTE = 2**20


@pytest.mark.parametrize("name", SHIPPED)
def test_whole_small_and_described(name: str) -> None:
    folder = SHIPPED_FOLDER / name
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 16 * MEGABYTE
    card = (folder / "README.md").read_text(encoding="utf-8")
    for said in (name, "speechocean762", "LJSpeech", "updates", "licence", "EMO-DB", "Limits"):
        assert said in card
    described = json.loads((folder / "config.json").read_text())
    assert described["trained"] is True
    assert described["name"] == name


@pytest.mark.parametrize("name", SHIPPED)
def test_is_not_random(name: str) -> None:
    encoder = load_encoder(EncoderSection(encoder=name), "sec")
    assert encoder.trained
    assert encoder.frozen
    random = TransformerEncoder(encoder.config, "sec", 0)  # type: ignore[attr-defined]
    assert encoder.fingerprint() != random.fingerprint()


def test_both_are_the_defaults() -> None:
    assert (Recipe().sec.encoder, Recipe().tec.encoder) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_tells_frames_apart(name: str, voice) -> None:
    """Every level varies over time: none has collapsed."""
    encoder = load_encoder(EncoderSection(encoder=name), "sec")
    waveform_1N = torch.from_numpy(voice(48_000))[None]
    with torch.inference_mode():
        hidden_LTD = encoder(waveform_1N, torch.tensor([48_000])).hidden_BLTD[0]
    assert (hidden_LTD.std(dim=1).mean(dim=1) > 0.1).all()


@pytest.mark.corpora
def test_sec_hears_emotion_better_than_random(emodb) -> None:
    """Frames of angry and of sad recordings are further apart than with random weights."""

    def separation(encoder) -> float:
        means = {"W": [], "T": []}
        for file in emodb:
            emotion = file.stem[5]
            if emotion in means and len(means[emotion]) < 20:
                waveform_1N = torch.from_numpy(read_audio(file)[None, :48_000])
                with torch.inference_mode():
                    frames = encoder(waveform_1N, torch.tensor([waveform_1N.shape[1]]))
                real = int(frames.mask_BT.sum())
                means[emotion].append(frames.hidden_BLTD[0, :, :real].mean(1).flatten())
        angry, sad = (torch.stack(rows) for rows in means.values())
        within = (angry.var(0) + sad.var(0)).mean()
        return float((angry.mean(0) - sad.mean(0)).square().mean() / within)

    shipped = load_encoder(EncoderSection(encoder="sec-compact"), "sec")
    random = load_encoder(EncoderSection(encoder="compact"), "sec")
    assert separation(shipped) > separation(random)
