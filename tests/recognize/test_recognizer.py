"""A saved model predicts files, arrays and long recordings the same way."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from mfas.audio import prepare_samples, segment
from mfas.errors import AudioError, ModelError
from mfas.model import Batch, load_model
from mfas.recognize import Recognizer, audio_files, recognizer

CLASSES = ("angry", "calm", "sad")


@pytest.fixture(scope="module")
def rec(model_folder) -> Recognizer:
    return Recognizer.from_pretrained(model_folder)


@pytest.fixture
def call(tmp_path, voice) -> Path:
    """7.25 s, stereo, 44.1 kHz."""
    left, right = voice(319_725, seed=1), 0.5 * voice(319_725, seed=2)
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], axis=1), 44_100)
    return tmp_path / "call.wav"


def test_it_knows_its_name_classes_and_notes(rec, model_folder):
    assert rec.name == str(model_folder)
    assert rec.classes == CLASSES
    assert rec.notes == ("made for tests",)


def test_a_file_and_its_samples_get_the_same(rec, call):
    by_path = rec.predict(call)
    assert rec.predict(str(call)) == by_path
    samples, rate_hz = soundfile.read(call, dtype="float32")
    assert rec.predict((samples, rate_hz)) == replace(by_path, file=None)
    integers, rate_hz = soundfile.read(call, dtype="int16")
    assert rec.predict((integers, rate_hz)) == replace(by_path, file=None)


def test_probabilities_sum_to_1_and_the_label_is_the_most_probable(rec, call):
    prediction = rec.predict(call)
    for part in (prediction, *prediction.segments):
        assert tuple(part.probabilities) == CLASSES
        assert math.isclose(sum(part.probabilities.values()), 1, abs_tol=1e-9)
        assert part.probabilities[part.label] == max(part.probabilities.values())


def test_an_utterance_is_the_mean_of_its_segments_log_probabilities(rec, call):
    prediction = rec.predict(call)
    logs = [[math.log(s.probabilities[c]) for c in CLASSES] for s in prediction.segments]
    weights = np.exp(np.mean(logs, axis=0))
    expected = dict(zip(CLASSES, weights / weights.sum(), strict=True))
    assert prediction.probabilities == pytest.approx(expected, abs=1e-6)


def test_segments_follow_each_other_to_the_end(rec, call):
    prediction = rec.predict(call)
    assert prediction.duration == pytest.approx(7.25, abs=1e-3)
    assert [segment.start for segment in prediction.segments] == [0, 3, 6]
    assert [segment.end for segment in prediction.segments][:2] == [3, 6]
    assert prediction.segments[-1].end == pytest.approx(prediction.duration, abs=0.01)


def test_json_has_the_promised_keys(rec, call):
    written = rec.predict(call).to_json()
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    assert list(written) == ["file", "duration", "label", "probabilities", "segments", "model"]
    for part in written["segments"]:
        assert list(part) == ["start", "end", "label", "probabilities"]
    assert written["file"] == str(call)
    assert written["model"] == rec.name


def test_a_long_recording_is_its_segments(rec, model_folder, voice):
    samples = voice(60 * 16_000)
    assert recognizer.SEGMENTS_AT_ONCE < 60 / 3
    prediction = rec.predict((samples, 16_000))
    with torch.no_grad():
        at_once_SK = load_model(model_folder)[0](Batch.from_segments(segment(samples))).exp()
    seen_SK = [list(part.probabilities.values()) for part in prediction.segments]
    np.testing.assert_allclose(seen_SK, at_once_SK.numpy(), atol=1e-6)
    assert len({part.probabilities["angry"] for part in prediction.segments}) > 10


def test_the_shortest_recording(rec, voice):
    prediction = rec.predict((voice(400), 16_000))
    assert len(prediction.segments) == 1
    assert prediction.probabilities == pytest.approx(prediction.segments[0].probabilities)


def test_predicting_draws_no_random_numbers_and_repeats(rec, call):
    state = torch.get_rng_state()
    assert rec.predict(call) == rec.predict(call)
    assert torch.equal(torch.get_rng_state(), state)


def test_another_recording_gets_another_answer(rec, voice):
    one, other = (rec.predict((voice(32_000, seed), 16_000)) for seed in (1, 2))
    assert one.probabilities != other.probabilities


def test_what_cannot_be_analysed_is_refused(rec, tmp_path):
    with pytest.raises(AudioError, match="no such file"):
        rec.predict(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="samples: silent"):
        rec.predict((np.zeros(16_000), 16_000))


@pytest.mark.corpora
def test_real_recordings_get_the_same_by_path_and_by_samples(rec, emodb):
    for path in emodb[::200]:
        samples = prepare_samples(*soundfile.read(path, dtype="float32"))
        assert rec.predict((samples, 16_000)) == replace(rec.predict(path), file=None)


def test_the_default_model_is_the_shipped_one(model_folder, monkeypatch):
    monkeypatch.setattr(recognizer, "DEFAULT_MODEL", model_folder)
    assert Recognizer.from_pretrained().name == "default"
    assert Recognizer.from_pretrained().classes == CLASSES


def test_a_model_of_the_hub(model_folder, monkeypatch):
    asked = {}

    def download(name, revision, allow_patterns):
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(model_folder)

    monkeypatch.setattr(recognizer, "snapshot_download", download)
    loaded = Recognizer.from_pretrained("owner/model", revision="v1")
    assert (loaded.name, loaded.classes) == ("owner/model", CLASSES)
    assert asked == {
        "name": "owner/model",
        "revision": "v1",
        "patterns": ["*.json", "*.safetensors"],
    }


@pytest.mark.parametrize("error", [HfHubHTTPError, HFValidationError, LocalEntryNotFoundError])
def test_a_model_that_is_nowhere(error, monkeypatch):
    def unreachable(*_args, **_kwargs):
        raise error.__new__(error)

    monkeypatch.setattr(recognizer, "snapshot_download", unreachable)
    with pytest.raises(ModelError, match=r"^models/mine: neither a model folder nor .* network"):
        Recognizer.from_pretrained("models/mine")


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match="no model there"):
        Recognizer.from_pretrained(tmp_path)


def test_folders_are_searched_for_audio(tmp_path):
    names = ["b/2.wav", "b/10.FLAC", "a/deep/er/x.Opus", "c.mp3", "notes.txt", "b/cover.jpg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.wav").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in audio_files([tmp_path])]
    assert found == ["a/deep/er/x.Opus", "b/10.FLAC", "b/2.wav", "c.mp3"]


def test_files_stay_in_the_order_asked(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "m.wav").touch()
    asked = [tmp_path / "z.wav", tmp_path / "folder", tmp_path / "a.unknown"]
    assert audio_files(asked) == [asked[0], tmp_path / "folder" / "m.wav", asked[2]]


def test_a_folder_without_audio(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AudioError, match="no audio files in this folder") as raised:
        audio_files([tmp_path])
    assert str(raised.value).startswith(f"{tmp_path}: ")
    assert "\n" not in str(raised.value)
