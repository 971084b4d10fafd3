"""What is trained on and what is held out."""

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from mfas.config import CtcSection, PretrainRecipe, SpeechSection
from mfas.corpora import Utterance
from mfas.errors import AudioError, ManifestError, RecipeError
from mfas.pretrain.batches import Piece, plan_crops, plan_recordings, read_batch
from mfas.pretrain.ctc import CtcObjective, count_frames, fits
from mfas.pretrain.material import held_out_speakers, read_material
from mfas.storage import read_csv, write_csv


def speakers_of(speech):
    return {utterance.speaker for utterance in speech.utterances}


@pytest.fixture
def read(tiny_encoder, make_recipe):
    def read_it(*overrides, objective="continuous"):
        return read_material(make_recipe(*overrides, objective=objective), tiny_encoder())

    return read_it


def test_what_is_too_short_is_left_out_and_counted(read):
    material = read("--speech.held_out", "0")
    assert material.left_out == {"shorter than 0.5 s": 6}
    assert len(material.train) == 24
    assert min(material.train.lengths_R) >= 8_000
    assert len(material.held_out) == 0
    assert read("--speech.held_out", "0", "--speech.crop_seconds", "[0.2]").left_out == {}


def test_what_cannot_be_spelled_is_left_out_and_counted(read):
    material = read("--speech.held_out", "0", objective="ctc")
    assert material.left_out == {"without a transcript, or shorter than theirs": 6}
    assert all(utterance.text for utterance in material.train.utterances)


@pytest.mark.parametrize(
    ("speeds", "left_out"),
    [([0.5], 0), ([0.9], 6), ([0.5, 1.2], 6), ([1.0, 1.3, 0.5], 12), ([2.0], 18)],
)
def test_what_is_too_short_at_the_fastest_speed_is_left_out(speeds, left_out, read):
    """So every other recording gives a crop in every epoch."""
    material = read("--speech.held_out", "0", "--speech.speeds", str(speeds))
    assert sum(material.left_out.values()) == left_out
    assert len(material.train) == 30 - left_out
    settings = SpeechSection(crop_seconds=(0.5,), speeds=tuple(speeds))
    for seed in range(5):
        plans = plan_crops(material.train, settings, 0.5, 1, seed)
        assert {piece.recording for plan in plans for piece in plan} == set(range(30 - left_out))


def test_texts_that_fit_at_the_fastest_speed_fit_at_every_speed(
    read, tiny_encoder, tmp_path, voice
):
    """With one sample less, a text of 20 letters has 19 frames there."""
    encoder, text = tiny_encoder(), 2 * "abcdefghij"
    least = round((encoder.receptive_field + 19 * 320) * 1.25)
    rows = []
    for samples in (least - 1, least, least + 500):
        soundfile.write(tmp_path / f"{samples}.wav", voice(samples), 16_000)
        rows.append({"file": f"{samples}.wav", "speaker": "a", "text": text})
    write_csv(tmp_path / "m.csv", ["file", "speaker", "text"], rows)
    options = ("--speech.manifest", str(tmp_path / "m.csv"), "--speech.held_out", "0")
    assert len(read(*options, objective="ctc").train) == 3
    train = read(*options, "--speech.speeds", "[0.8, 1.25, 1.0]", objective="ctc").train
    assert sorted(train.lengths_R) == [least, least + 500]
    drawn = set()
    for seed in range(20):
        for plan in plan_recordings(train, 10.0, 1, seed, (0.8, 1.25, 1.0)):
            drawn |= {piece.speed for piece in plan}
            batch = read_batch(train, plan)
            assert all(fits(text, frames) for frames in count_frames(encoder, batch.samples_B))
    assert drawn == {0.8, 1.25, 1.0}
    objective = CtcObjective(encoder, CtcSection(), seed=0).eval()
    for speed, finite in ((1.25, True), (1.26, False)):
        shortest = int(np.argmin(train.lengths_R))
        batch = read_batch(train, (Piece(shortest, 0, int(least / speed), speed),))
        loss = objective(batch, 0.5, torch.Generator()).loss
        assert loss.isfinite() == finite


def test_held_out_speakers_are_the_same_for_every_objective_and_never_trained_on(read):
    materials = [read(objective=name) for name in ("continuous", "quantised", "ctc")]
    held = {frozenset(speakers_of(material.held_out)) for material in materials}
    assert len(held) == 1
    for material in materials:
        assert speakers_of(material.train)
        assert not speakers_of(material.train) & speakers_of(material.held_out)
        assert len(material.train) + len(material.held_out) == 24
    assert speakers_of(read("--speech.held_out_seed", "1").held_out) not in held


def utterances(names):
    return tuple(Utterance(f"{name}.wav", None, name, "") for name in names)


@given(st.sets(st.text(), max_size=30), st.sets(st.text(), max_size=30), st.floats(0, 0.99))
def test_who_is_held_out_does_not_depend_on_the_others(some, others, share):
    alone = held_out_speakers(utterances(some), share, 0)
    together = held_out_speakers(utterances(some | others), share, 0)
    assert alone == together & some
    assert held_out_speakers(utterances(some), share / 2, 0) <= alone


def test_the_share_is_met_on_average():
    names = [f"speaker {n}" for n in range(3000)]
    for seed in (0, 1):
        assert len(held_out_speakers(utterances(names), 0.2, seed)) == pytest.approx(600, abs=70)
    assert held_out_speakers(utterances(names), 0.0, 0) == frozenset()


def test_a_share_that_holds_out_none_or_all_is_refused(read, speech_manifest):
    with pytest.raises(ManifestError) as raised:
        read("--speech.held_out", "0.001")
    assert str(raised.value) == (
        f"{speech_manifest}: 0 of its 6 speakers would be held out; change speech.held_out_seed, "
        "or speech.held_out"
    )
    with pytest.raises(ManifestError, match="6 of its 6 speakers would be held out"):
        read("--speech.held_out", "0.999")


def test_without_a_manifest(tiny_encoder):
    with pytest.raises(RecipeError, match=r"speech\.manifest is not set; name a CSV"):
        read_material(PretrainRecipe(), tiny_encoder())


@pytest.mark.parametrize(
    ("objective", "said"),
    [("continuous", "every recording is shorter than 9 s"), ("ctc", "is without a transcript")],
)
def test_nothing_to_train_on(objective, said, read, speech_manifest, tmp_path):
    folder = speech_manifest.parent
    rows = [
        {"file": folder / row["file"], "speaker": row["speaker"]}
        for row in read_csv(speech_manifest)
    ]
    write_csv(tmp_path / "m.csv", ["file", "speaker"], rows)
    options = ("--speech.manifest", str(tmp_path / "m.csv"), "--speech.crop_seconds", "[9]")
    with pytest.raises(ManifestError, match=said) as raised:
        read(*options, objective=objective)
    assert str(raised.value).startswith(f"{tmp_path / 'm.csv'}: ")


def test_a_recording_that_is_not_there(read, tmp_path):
    write_csv(tmp_path / "m.csv", ["file", "speaker"], [{"file": "gone.wav", "speaker": "a"}])
    with pytest.raises(AudioError, match=f"{tmp_path / 'gone.wav'}: no such file"):
        read("--speech.manifest", str(tmp_path / "m.csv"))


def test_labels_are_not_needed_but_do_no_harm(read, tmp_path, voice):
    soundfile.write(tmp_path / "a.wav", voice(16_000), 16_000)
    rows = [{"file": "a.wav", "speaker": "a", "label": ""}]
    write_csv(tmp_path / "m.csv", ["file", "speaker", "label"], rows)
    options = ("--speech.manifest", str(tmp_path / "m.csv"), "--speech.held_out", "0")
    assert read(*options).train.lengths_R.tolist() == [16_000]


def test_the_order_of_rows_says_nothing(read, speech_manifest, tmp_path):
    folder = speech_manifest.parent
    rows = [{**row, "file": folder / row["file"]} for row in read_csv(speech_manifest)]
    found = []
    for name, order in (("m.csv", rows), ("n.csv", rows[::-1])):
        write_csv(tmp_path / name, list(rows[0]), order)
        found.append(read("--speech.manifest", str(tmp_path / name)))
    assert found[0].train.utterances == found[1].train.utterances
    assert np.array_equal(found[0].train.starts_R, found[1].train.starts_R)
