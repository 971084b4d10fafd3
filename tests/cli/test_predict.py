"""What `mfas predict` prints, in every format."""

import csv
import io
import json

import pytest
import soundfile

from mfas.audio import read_audio
from mfas.cli import main
from mfas.recognize import Recognizer, audio_files

KEYS = ["file", "duration", "label", "probabilities", "segments", "model"]
CLASSES = ["calm", "glad", "tense"]


@pytest.fixture
def two(tone_corpus):
    """A recording longer than a segment, and a short one."""
    return tone_corpus.parent / "ann" / "calm0.wav", tone_corpus.parent / "bob" / "glad0.wav"


def test_json_is_what_the_contract_says(mfas, model, two):
    outcome = mfas("predict", *reversed(two), "--model", model, "--format", "json")
    assert outcome.code == 0
    assert outcome.complaints == []
    assert any("untrained" in line for line in outcome.err)
    answers = json.loads(outcome.out)
    assert [answer["file"] for answer in answers] == [str(path) for path in reversed(two)]
    for answer, segments in zip(answers, (1, 2), strict=True):
        assert list(answer) == KEYS
        assert answer["model"] == str(model)
        assert answer["duration"] == pytest.approx(len(read_audio(answer["file"])) / 16_000)
        assert len(answer["segments"]) == segments
        assert [part["start"] for part in answer["segments"]] == [3.0 * i for i in range(segments)]
        assert answer["segments"][-1]["end"] == pytest.approx(answer["duration"], abs=0.01)
        for part in (answer, *answer["segments"]):
            assert list(part["probabilities"]) == CLASSES
            assert sum(part["probabilities"].values()) == pytest.approx(1, abs=1e-9)
            assert part["probabilities"][part["label"]] == max(part["probabilities"].values())
        for part in answer["segments"]:
            assert list(part) == ["start", "end", "label", "probabilities"]


@pytest.mark.parametrize("timeline", [False, True])
def test_csv_says_the_same_as_json(timeline, mfas, model, two):
    answers = json.loads(mfas("predict", *two, "--model", model, "--format", "json").out)
    choice = ["--timeline"] if timeline else []
    outcome = mfas("predict", *two, "--model", model, "--format", "csv", *choice)
    assert (outcome.code, outcome.complaints) == (0, [])
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert list(rows[0]) == ["file", "start", "end", "label", *(f"p_{c}" for c in CLASSES), "error"]
    expected = [
        (answer["file"], part["label"], part["probabilities"]["glad"])
        for answer in answers
        for part in (answer, *(answer["segments"] if timeline else ()))
    ]
    assert [(row["file"], row["label"], float(row["p_glad"])) for row in rows] == expected


def test_csv_of_an_unreadable_file(mfas, model, two, tmp_path):
    outcome = mfas("predict", tmp_path / "gone.wav", two[1], "--model", model, "--format", "csv")
    assert outcome.code == 1
    failed, predicted = csv.DictReader(io.StringIO(outcome.out))
    assert failed["error"] == f"{tmp_path / 'gone.wav'}: no such file; check the path"
    assert failed["label"] == predicted["error"] == ""
    assert predicted["label"] in CLASSES


def test_the_table_shows_files_and_segments(mfas, model, two, tmp_path, voice):
    odd = tmp_path / "[" / "red]:smile:.wav"
    odd.parent.mkdir()
    soundfile.write(odd, voice(8_000), 16_000)
    outcome = mfas("predict", odd, two[0], "--model", model, "--timeline")
    assert (outcome.code, outcome.complaints) == (0, [])
    rows = [line.split("│") for line in outcome.out.splitlines() if line.startswith("│")]
    assert "[/red]:smile:.wav" in "".join(row[1].strip() for row in rows)
    assert sum(outcome.out.count(f" {name} ") for name in CLASSES) >= 2 + 3
    for name in CLASSES:
        assert f"{name} %" in outcome.out


def test_a_folder_is_searched_in_order(mfas, model, tone_corpus):
    folder = tone_corpus.parent / "ann"
    outcome = mfas("predict", folder, "--model", model, "--format", "json")
    assert [a["file"] for a in json.loads(outcome.out)] == [
        str(p) for p in sorted(folder.iterdir())
    ]


def test_the_model_that_ships_is_named_when_it_is_not_there(refusal, two, monkeypatch, tmp_path):
    monkeypatch.setattr("mfas.recognize.recognizer.DEFAULT_MODEL", tmp_path / "default")
    line = refusal("predict", two[1])
    assert line.startswith(f"mfas: {tmp_path / 'default'}: no model there")


def test_a_model_that_is_not_there(refusal, two, tmp_path):
    line = refusal("predict", two[1], "--model", tmp_path / "gone")
    assert line.startswith(f"mfas: {tmp_path / 'gone'}: neither a model folder nor a model on the")
    assert "no model there (no config.json)" in refusal("predict", two[1], "--model", tmp_path)


DAMAGES = {
    "missing": None,
    "empty": b"",
    "zeros": b"\0" * 512,
    "not text": b"\xff\xfe\xfd",
    "a list": b"[]",
    "an object": b"{}",
    "null": b"null",
    "half": "half",
}


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model(file, damage, refusal, two, model_copy):
    content = DAMAGES[damage]
    path = model_copy / file
    if content is None:
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    line = refusal("predict", two[1], "--model", model_copy)
    assert line.startswith(f"mfas: {model_copy}: ")


@pytest.mark.parametrize("key", ["classes", "strategy", "recipe", "encoders", "notes"])
def test_a_model_whose_description_is_wrong(key, refusal, two, model_copy):
    config = json.loads((model_copy / "config.json").read_text(encoding="utf-8"))
    for wrong in (3, ["x"], {"x": 1}):
        (model_copy / "config.json").write_text(json.dumps(config | {key: wrong}), encoding="utf-8")
        if key == "notes" and wrong != 3:
            continue
        assert str(model_copy) in refusal("predict", two[1], "--model", model_copy)


@pytest.fixture(scope="module")
def ridge_model(tone_corpus, tone_cache, tmp_path_factory):
    """A model in closed form, which `mfas train` made."""
    folder = tmp_path_factory.mktemp("ridge")
    recipe = folder / "ridge.toml"
    recipe.write_text(f'[corpus]\nmanifest = "{tone_corpus}"\n[head]\nkind = "ridge"\n')
    overrides = ["--sec.encoder", "compact", "--tec.encoder", "compact", "--train.device", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFAS_CACHE", str(tone_cache))
        strategy = ["--fusion.strategy", "last:sum"]
        assert (
            main(["train", str(recipe), "--out", str(folder / "model"), *overrides, *strategy]) == 0
        )
    return folder / "model"


def test_predictions_are_adapted_to_the_recordings_of_a_speaker(
    mfas, ridge_model, tone_corpus, two
):
    ann, file = tone_corpus.parent / "ann", two[0]
    common = ("predict", file, "--model", ridge_model, "--format", "json")
    outcome = mfas(*common, "--speaker-audio", ann)
    assert (outcome.code, outcome.complaints) == (0, [])
    (answer,) = json.loads(outcome.out)
    recognizer = Recognizer.from_pretrained(ridge_model)
    assert answer == recognizer.adapt(audio_files([ann])).predict(file).to_json()
    assert answer["model"] == f"{ridge_model}, adapted"
    notes = [line for line in outcome.err if "Adapted to one speaker with 6 recordings" in line]
    assert len(notes) == 1
    (plain,) = json.loads(mfas(*common).out)
    assert plain == recognizer.predict(file).to_json()
    assert plain["probabilities"] != answer["probabilities"]
    (one,) = json.loads(mfas(*common, "--speaker-audio", two[1]).out)
    assert one["probabilities"] not in (plain["probabilities"], answer["probabilities"])


def test_a_model_that_cannot_adapt_says_what_can(refusal, model, two):
    line = refusal("predict", two[0], "--model", model, "--speaker-audio", two[1])
    assert line == (
        f'mfas: {model}: cannot be adapted to a voice; train a model with head.kind = "ridge"'
    )


def test_recordings_of_a_speaker_that_are_not_there(refusal, ridge_model, two, tmp_path):
    common = ("predict", two[0], "--model", ridge_model, "--speaker-audio")
    (tmp_path / "empty").mkdir()
    assert "no audio files in this folder" in refusal(*common, tmp_path / "empty")
    gone = tmp_path / "gone.wav"
    assert refusal(*common, gone) == f"mfas: {gone}: no such file; check the path"
