from pathlib import Path

import numpy as np
import pytest
import soundfile

from mfas.audio import audio_sha256, read_audio
from mfas.corpora import Manifest, Utterance, check_manifest


def listed(*paths: Path) -> Manifest:
    return Manifest(tuple(Utterance(path.name, path, f"s{path.stem[0]}", "x") for path in paths))


def test_a_sound_manifest_is_ok(tone):
    manifest = listed(tone("a.wav", 200), tone("b.wav", 300, seconds=3.5))
    report = check_manifest(manifest, workers=2)
    assert report.ok
    assert report.problems == []
    assert (report.utterances, report.seconds, report.segments) == (2, 4.0, 3)
    assert (report.classes, report.speakers) == ({"x": 2}, {"sa": 1, "sb": 1})
    assert report.audio_hashes == tuple(audio_sha256(read_audio(u.path)) for u in manifest)


def test_every_fault_is_named_once(tone, tmp_path):
    (tmp_path / "d.wav").write_bytes(b"not audio at all")
    soundfile.write(tmp_path / "e.wav", np.zeros(16_000), 16_000)
    soundfile.write(tmp_path / "f.flac", soundfile.read(tone("a.wav"))[0], 16_000)
    manifest = listed(
        tmp_path / "a.wav",
        tone("b.wav", peak=3.0),
        tmp_path / "c.wav",
        *(tmp_path / name for name in ("d.wav", "e.wav", "f.flac")),
    )
    report = check_manifest(manifest, workers=1)
    assert not report.ok
    assert [fault.kind for fault in report.faults] == [
        *("clipped", "missing", "unreadable", "unreadable", "duplicate"),
    ]
    for line, name in zip(
        report.problems, ("b.wav", "c.wav", "d.wav", "e.wav", "f.flac"), strict=True
    ):
        assert line.startswith(f"{tmp_path / name}: ")
        assert "\n" not in line
    assert "silent" in report.problems[3]
    assert "the same audio as a.wav" in report.problems[4]
    assert [bool(sha256) for sha256 in report.audio_hashes] == [
        True,
        True,
        False,
        False,
        False,
        True,
    ]


def test_a_few_peaks_at_full_scale_are_no_clipping(tone):
    assert check_manifest(listed(tone("a.wav", peak=0.9999, hz=0.5, seconds=4))).problems != []
    samples = np.full(16_000, 0.1)
    samples[100] = 1.0
    path = tone("b.wav")
    soundfile.write(path, samples, 16_000)
    assert check_manifest(listed(path)).ok


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_parts_of_a_file_are_decoded_alone(tone, workers):
    path = tone("a.wav", seconds=2)
    row = Utterance("a.wav", path, "s", "x", start=0.5, end=1.25)
    late = Utterance("a.wav", path, "s", "x", start=5, end=6)
    report = check_manifest(Manifest((row, late)), workers)
    assert report.seconds == 0.75
    assert "holds 2.00 s but 5 to 6 s was asked for" in report.problems[0]
