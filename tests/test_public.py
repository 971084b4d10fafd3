"""What the documentation promises to those who import mfas."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

import mfas
from mfas.audio import mfcc, spectrogram
from mfas.evaluate.metrics import unweighted_accuracy, weighted_accuracy
from mfas.fusion import OPERATIONS, FusionCell, Strategy


def python(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_importing_mfas_is_light():
    heavy = ("torch", "transformers", "librosa", "sklearn", "matplotlib", "pydantic")
    assert python(f"import sys, mfas; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_the_public_names():
    for name in mfas.__all__:
        assert getattr(mfas, name) is not None
    assert mfas.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'recogniser'"):
        mfas.recogniser  # noqa: B018


def test_recognising(model_folder, tmp_path, voice, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("call.wav", voice(64_000), 16_000)
    rec = mfas.Recognizer.from_pretrained(model_folder)
    prediction = rec.predict("call.wav")
    assert isinstance(prediction, mfas.Prediction)
    assert prediction.label in prediction.probabilities
    assert len(prediction.segments) == 2
    samples, rate_hz = soundfile.read("call.wav")
    assert rec.predict((samples, rate_hz)).probabilities == prediction.probabilities


def test_reading_a_manifest(tmp_path):
    (tmp_path / "manifest.csv").write_text("file,speaker,label\na.wav,s1,sad\nb.wav,s2,calm\n")
    manifest = mfas.read_manifest(tmp_path / "manifest.csv")
    assert isinstance(manifest, mfas.Manifest)
    assert [(u.speaker, u.label) for u in manifest] == [("s1", "sad"), ("s2", "calm")]
    assert mfas.read_manifest(str(tmp_path / "manifest.csv")) == manifest


def test_fusing():
    names = ("zero", "sum", "attention", "attention_r", "concat_fc", "concat_fc_r", "ism", "ism_r")
    assert tuple(OPERATIONS) == names
    cell = FusionCell(dim=768)
    tec, sec = torch.randn(2, 2, 9, 768)
    adjusted = cell(tec, sec, level="middle")
    assert adjusted.shape == (2, 9, 768)
    assert cell.weights().shape == (3, 8)
    torch.testing.assert_close(cell.weights().sum(dim=1), torch.ones(3))
    assert isinstance(cell.strategy(), Strategy)
    assert isinstance(cell.strategy().level, str)
    fixed = FusionCell.from_strategy(Strategy("last", "ism"), dim=768)
    assert fixed.strategy() == Strategy(level="last", operation="ism")
    assert fixed(tec, sec, level="last").shape == (2, 9, 768)


def test_views(voice):
    samples = voice(16_000)
    assert spectrogram(samples).shape == (200, 101)
    assert mfcc(samples).shape == (101, 40)
    assert spectrogram(samples).max() == 0


def test_metrics():
    true, predicted = ["a", "a", "a", "b"], ["a", "a", "b", "b"]
    assert weighted_accuracy(true, predicted) == 3 / 4
    assert unweighted_accuracy(true, predicted) == pytest.approx((2 / 3 + 1) / 2)
    assert isinstance(unweighted_accuracy(np.array(true), np.array(predicted)), float)


def test_errors_are_value_errors_of_one_family():
    from mfas import errors

    family = [getattr(errors, name) for name in dir(errors) if name.endswith("Error")]
    assert all(issubclass(error, errors.MfasError) for error in family)
    assert issubclass(errors.MfasError, ValueError)
    assert errors.AudioError("x").exit_code == 2
    assert errors.FailedError("x").exit_code == 1
