"""Recordings are decoded once, exactly enough, and again when they have changed."""

import os
import threading
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from mfas.audio import read_audio
from mfas.corpora import Manifest, Utterance, read_manifest
from mfas.errors import AudioError
from mfas.pretrain import speech as module
from mfas.pretrain.speech import FULL_SCALE, decode_speech
from mfas.storage import write_csv


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded, in order."""
    names = []

    def counting(path, *part):
        names.append(path.name)
        return read_audio(path, *part)

    monkeypatch.setattr(module, "read_audio", counting)
    return names


@pytest.fixture
def two_files(tmp_path, voice):
    """A manifest of two recordings of 0.5 and 0.7 s, of its own."""
    for name, samples in (("a", 8_000), ("b", 11_200)):
        soundfile.write(tmp_path / f"{name}.wav", voice(samples), 16_000)
    rows = [{"file": f"{name}.wav", "speaker": name} for name in "ab"]
    write_csv(tmp_path / "two.csv", ["file", "speaker"], rows)
    return read_manifest(tmp_path / "two.csv", labelled=False)


def test_every_recording_is_there_to_half_a_step(manifest, cache):
    speech = decode_speech(manifest, cache)
    assert speech.utterances == manifest.utterances
    assert len(speech) == len(manifest)
    for number, utterance in enumerate(manifest):
        wanted = read_audio(utterance.path)
        length = int(speech.lengths_R[number])
        assert length == len(wanted)
        read = speech.read(number, 0, length)
        assert read.dtype == np.int16
        error = np.abs(read.astype(np.float64) / FULL_SCALE - wanted)
        assert error.max() <= 0.51 / FULL_SCALE
        assert np.array_equal(speech.read(number, 100, 50), read[100:150])
    assert speech.seconds == pytest.approx(sum(speech.lengths_R) / 16_000)


def test_what_is_louder_than_full_scale_is_clipped(two_files, cache):
    path = two_files.utterances[0].path
    soundfile.write(path, np.linspace(-2, 2, 8_000), 16_000, subtype="FLOAT")
    samples = decode_speech(two_files, cache).read(0, 0, 8_000)
    assert (samples[0], samples[-1]) == (-FULL_SCALE, FULL_SCALE)
    assert (np.diff(samples.astype(int)) >= 0).all()


def test_a_crop_outside_its_recording_is_a_bug(two_files, cache):
    with pytest.raises(AssertionError, match="inside its recording"):
        decode_speech(two_files, cache).read(0, 1, 8_000)


def test_decoded_once(two_files, cache, decoded):
    done = []
    first = decode_speech(two_files, cache, lambda *seen: done.append(seen))
    assert sorted(decoded) == ["a.wav", "b.wav"]
    assert done == [(1, 2), (2, 2)]
    second = decode_speech(two_files, cache, lambda *seen: done.append(seen))
    assert len(decoded) == len(done) == 2
    assert np.array_equal(first.samples_N, second.samples_N)
    assert np.array_equal(first.starts_R, second.starts_R)
    assert np.array_equal(first.lengths_R, second.lengths_R)


def test_other_labels_and_texts_decode_nothing_again(two_files, cache, decoded):
    decode_speech(two_files, cache)
    told = Manifest(tuple(replace(u, text="new", speaker="x") for u in two_files))
    assert decode_speech(told, cache).utterances == told.utterances
    assert len(decoded) == 2


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_changed_file_is_decoded_again(change, two_files, cache, decoded, voice):
    before = decode_speech(two_files, cache)
    path = two_files.utterances[1].path
    found = path.stat()
    soundfile.write(path, voice(11_200 if change == "time" else 11_201, seed=9), 16_000)
    moment = found.st_mtime_ns + (1_000_000 if change == "time" else 0)
    os.utime(path, ns=(found.st_atime_ns, moment))
    after = decode_speech(two_files, cache)
    assert len(decoded) == 4
    assert np.array_equal(after.read(0, 0, 8_000), before.read(0, 0, 8_000))
    assert not np.array_equal(after.read(1, 0, 11_200), before.read(1, 0, 11_200))


def test_parts_of_a_file(two_files, cache):
    path = two_files.utterances[1].path
    part = Utterance("b.wav", path, "b", "", start=0.1, end=0.4)
    rest = Utterance("b.wav", path, "b", "", start=0.4)
    speech = decode_speech(Manifest((part, rest)), cache)
    assert speech.lengths_R.tolist() == [4_800, 4_800]
    whole = decode_speech(two_files, cache)
    assert np.array_equal(speech.read(0, 0, 4_800), whole.read(1, 1_600, 4_800))
    assert np.array_equal(speech.read(1, 0, 4_800), whole.read(1, 6_400, 4_800))


def test_select_keeps_samples_and_order(manifest, cache):
    speech = decode_speech(manifest, cache)
    some = speech.select([7, 2])
    assert [u.file for u in some.utterances] == [manifest.utterances[i].file for i in (7, 2)]
    assert np.array_equal(some.read(0, 0, 500), speech.read(7, 0, 500))
    assert np.array_equal(some.read(1, 0, 500), speech.read(2, 0, 500))
    assert len(speech.select([])) == 0


@pytest.mark.parametrize("fault", ["no such file", "not readable as audio", "silent"])
def test_an_unreadable_file_is_named_and_nothing_is_kept(fault, two_files, cache):
    path = two_files.utterances[1].path
    if fault == "no such file":
        path.unlink()
    elif fault == "silent":
        soundfile.write(path, np.zeros(8_000), 16_000)
    else:
        path.write_bytes(b"RIFF but no wav")
    with pytest.raises(AudioError, match=f"{path}: {fault}"):
        decode_speech(two_files, cache)
    assert [p for p in cache.rglob("*") if p.is_file()] == []


def test_the_file_does_not_depend_on_who_decodes_first(manifest, cache, monkeypatch):
    """So processes that decode at once may replace each other's files."""
    decode_speech(manifest, cache)
    monkeypatch.setattr(
        module, "run_jobs", lambda function, items, *_, **__: _backwards(function, items)
    )
    decode_speech(manifest, cache / "other")
    for pattern in ("*.i16", "*.json"):
        (one,), (other,) = (list((c / "speech").glob(pattern)) for c in (cache, cache / "other"))
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


def _backwards(function, items):
    for index in reversed(range(len(items))):
        yield index, function(items[index])


def test_several_decode_at_once(manifest, cache):
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(decode_speech(manifest, cache)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for speech in found:
        for number in range(len(manifest)):
            length = int(speech.lengths_R[number])
            assert np.array_equal(speech.read(number, 0, length), found[0].read(number, 0, length))
    assert len(list((cache / "speech").iterdir())) == 2


def test_an_interrupted_decoding_is_begun_again(manifest, cache, monkeypatch, decoded):
    """The samples are there, but a kill came before their index."""
    monkeypatch.setattr(module, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        decode_speech(manifest, cache)
    monkeypatch.undo()
    assert len(decode_speech(manifest, cache)) == len(manifest)
