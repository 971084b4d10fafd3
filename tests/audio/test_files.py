"""Whatever libsndfile reads becomes mono 16 kHz float32; whatever is broken is one line."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from mfas.audio import audio_sha256, prepare_samples, read_audio
from mfas.errors import AudioError

FORMATS = {
    "wav": ("PCM_16", (8_000, 16_000, 22_050, 44_100, 48_000)),
    "flac": ("PCM_24", (8_000, 16_000, 22_050, 44_100, 48_000)),
    "ogg": ("VORBIS", (8_000, 16_000, 44_100, 48_000)),
    "mp3": ("MPEG_LAYER_III", (16_000, 22_050, 44_100, 48_000)),
    "opus": ("OPUS", (8_000, 16_000, 48_000)),
}
LOSSLESS = ("wav", "flac")
STREAMED_SIZES = (0x7FFFF000, 0x7FFFFFFF - 36, 0x80000000, 0xFFFFFFFF)


def write(path: Path, samples: np.ndarray, rate_hz: int = 16_000, subtype: str = "PCM_16") -> Path:
    container = "OGG" if path.suffix == ".opus" else None
    soundfile.write(path, samples, rate_hz, subtype=subtype, format=container)
    return path


def tones(seconds: float, rate_hz: int, channels: int) -> np.ndarray:
    """A 300 Hz tone; further channels hold it at lower volume."""
    times = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = 0.4 * np.sin(2 * np.pi * 300 * times)
    return np.stack([tone / (1 + channel) for channel in range(channels)], axis=1)


def refusal(path: Path, *part: float | None) -> str:
    with pytest.raises(AudioError) as raised:
        read_audio(path, *part)
    message = str(raised.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "subtype", "rate_hz"),
    [(suffix, subtype, r) for suffix, (subtype, rates) in FORMATS.items() for r in rates],
)
def test_every_format_rate_and_channel_count(suffix, subtype, rate_hz, channels, tmp_path):
    written = tones(0.8, rate_hz, channels)
    samples = read_audio(write(tmp_path / f"a.{suffix}", written, rate_hz, subtype))
    assert (samples.dtype, samples.ndim) == (np.float32, 1)
    assert samples.flags["C_CONTIGUOUS"]
    assert abs(len(samples) - 12_800) <= 1
    expected = tones(0.8, 16_000, channels).mean(axis=1)
    middle = slice(2_000, 10_000)  # codecs and resampling ring at the ends
    assert np.std(samples[middle]) == pytest.approx(np.std(expected[middle]), rel=0.05)
    assert np.abs(np.fft.rfft(samples[middle])).argmax() == 150  # bins of 2 Hz: 300 Hz
    if suffix in LOSSLESS:
        np.testing.assert_allclose(samples[middle], expected[middle], atol=2e-3)


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_samples_at_16_khz_are_not_touched(suffix, tmp_path, voice):
    pcm = (voice(16_000) * 32_767).astype(np.int16)
    assert np.array_equal(read_audio(write(tmp_path / f"a.{suffix}", pcm)), pcm / np.float32(32768))


def test_a_part_is_that_part(tmp_path, voice):
    whole = read_audio(write(tmp_path / "a.wav", voice(32_000)))
    path = tmp_path / "a.wav"
    assert np.array_equal(read_audio(path, 0.5, 1.25), whole[8_000:20_000])
    assert np.array_equal(read_audio(path, start=1.5), whole[24_000:])
    assert np.array_equal(read_audio(path, end=0.25), whole[:4_000])
    assert np.array_equal(read_audio(path, 1.0, 99.0), whole[16_000:])


def test_a_part_is_cut_at_the_files_own_rate(tmp_path):
    path = write(tmp_path / "a.wav", tones(2, 44_100, 2), 44_100)
    assert abs(len(read_audio(path, 0.5, 1.5)) - 16_000) <= 1


@pytest.mark.parametrize("part", [(2.0, None), (3.0, 4.0), (0.5, 0.5), (1.0, 0.5), (-0.5, 1.0)])
def test_a_part_that_is_not_there(part, tmp_path, voice):
    path = write(tmp_path / "a.wav", voice(32_000))
    message = refusal(path, *part)
    assert f"holds 2.00 s but {part[0]} to {part[1]} s was asked for; correct start" in message


def test_missing_folder_and_empty(tmp_path):
    assert "no such file; check the path" in refusal(tmp_path / "a.wav")
    assert "is a folder; name a file in it" in refusal(tmp_path)
    (tmp_path / "a.wav").touch()
    assert "empty file (0 bytes); copy or record it again" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "txt"])
def test_text_is_not_audio(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    path.write_text("this is no recording, whatever its name says\n" * 50)
    assert "not readable as audio" in refusal(path)
    assert refusal(path).endswith("convert it to wav or flac")


@pytest.mark.parametrize(
    ("kept", "fault"),
    [
        *((kept, "not readable as audio") for kept in (12, 30, 40)),
        (44, "holds no samples"),
        *((kept, "truncated") for kept in (46, 1_000, 31_999, 32_043)),
    ],
)
def test_a_cut_wav_is_refused_wherever_it_is_cut(kept, fault, tmp_path, voice):
    whole = write(tmp_path / "a.wav", voice(16_000)).read_bytes()
    assert len(whole) == 32_044
    (tmp_path / "a.wav").write_bytes(whole[:kept])
    assert fault in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize(("suffix", "fault"), [("flac", "not readable"), ("mp3", "truncated")])
def test_a_cut_flac_or_mp3_is_refused(suffix, fault, share, tmp_path, voice, capfd):
    path = write(tmp_path / f"a.{suffix}", voice(64_000), subtype=FORMATS[suffix][0])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert fault in refusal(path)


def test_a_wav_with_chunks_around_its_samples_is_whole(tmp_path, voice):
    content = write(tmp_path / "a.wav", voice(16_000)).read_bytes()
    odd = b"LIST" + struct.pack("<I", 5) + b"INFO!" + b"\0"
    (tmp_path / "b.wav").write_bytes(content[:36] + odd + content[36:] + odd)
    assert np.array_equal(read_audio(tmp_path / "b.wav"), read_audio(tmp_path / "a.wav"))


@pytest.mark.parametrize("size", STREAMED_SIZES)
def test_a_wav_that_was_streamed_to_a_pipe_is_whole(size, tmp_path, voice):
    content = bytearray(write(tmp_path / "a.wav", voice(16_000)).read_bytes())
    content[4:8] = struct.pack("<I", min(size + 36, 0xFFFFFFFF))
    content[40:44] = struct.pack("<I", size)
    (tmp_path / "b.wav").write_bytes(content)
    assert np.array_equal(read_audio(tmp_path / "b.wav"), read_audio(tmp_path / "a.wav"))


def test_a_flac_that_was_streamed_says_what_to_do(tmp_path, voice):
    content = bytearray(write(tmp_path / "a.flac", voice(16_000)).read_bytes())
    content[21] &= 0xF0  # the count of samples in STREAMINFO: 36 bits, 0 for unknown
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    assert "does not say how long it is; convert it to wav" in refusal(tmp_path / "a.flac")


def test_a_header_without_samples(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros(0))
    assert "holds no samples; record or export it again" in refusal(path)
    assert "holds no samples" in refusal(path, 0.0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(bad, tmp_path, voice):
    samples = voice(16_000)
    samples[7] = bad
    assert "not finite" in refusal(write(tmp_path / "a.wav", samples, subtype="FLOAT"))


@pytest.mark.parametrize(("samples", "rate_hz"), [(1, 16_000), (399, 16_000), (600, 48_000)])
def test_too_short(samples, rate_hz, tmp_path):
    path = write(tmp_path / "a.wav", np.full(samples, 0.5), rate_hz)
    assert "too short" in refusal(path)
    assert refusal(path).endswith("at least 25 ms are needed")


def test_25_ms_are_enough(tmp_path, voice):
    assert len(read_audio(write(tmp_path / "a.wav", voice(400)))) == 400


def test_silence(tmp_path):
    assert "silent" in refusal(write(tmp_path / "a.wav", np.zeros(16_000)))
    faint = np.full(16_000, 0.9e-4)
    assert "silent" in refusal(write(tmp_path / "a.flac", faint, subtype="PCM_24"))


@pytest.mark.parametrize(
    ("dtype", "subtype"), [("int16", "PCM_16"), ("int32", "PCM_32"), ("uint8", "PCM_U8")]
)
def test_integers_are_scaled_as_libsndfile_scales_them(dtype, subtype, tmp_path, voice):
    limits = np.iinfo(dtype)
    middle = (limits.max + limits.min + 1) // 2
    samples = (voice(8_000) * (limits.max - middle) + middle).astype(dtype)
    if dtype == "uint8":  # soundfile writes no unsigned samples: a wav header by hand
        header = b"RIFF" + struct.pack("<I", 36 + 8_000) + b"WAVEfmt "
        header += struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 16_000, 1, 8)
        data = b"data" + struct.pack("<I", 8_000) + samples.tobytes()
        (tmp_path / "a.wav").write_bytes(header + data)
    else:
        write(tmp_path / "a.wav", samples, subtype=subtype)
    expected = read_audio(tmp_path / "a.wav")
    np.testing.assert_allclose(prepare_samples(samples, 16_000), expected, atol=1e-7)


def test_floats_of_any_width_and_layout_give_the_same(voice):
    mono = voice(8_000)
    expected = prepare_samples(mono, 16_000)
    assert np.array_equal(expected, mono)
    assert np.array_equal(prepare_samples(mono.astype(np.float64), 16_000), mono)
    assert np.array_equal(prepare_samples(np.stack([mono, mono], axis=1), 16_000), mono)
    assert np.array_equal(prepare_samples(np.asfortranarray(mono[::-1])[::-1], 16_000), mono)


def test_the_callers_samples_stay_as_they_are(voice):
    samples = voice(8_000)
    before = samples.copy()
    prepare_samples(samples, 44_100)
    assert np.array_equal(samples, before)


@pytest.mark.parametrize(
    ("samples", "rate_hz", "fault"),
    [
        (np.zeros(0), 16_000, "too short"),
        (np.zeros((2, 3, 4)), 16_000, "must be"),
        (np.array(["a", "b"]), 16_000, "must be"),
        (np.ones(16_000, dtype=complex), 16_000, "must be"),
        (np.ones(16_000), 0, "give the true rate"),
        (np.ones(16_000), -8_000, "give the true rate"),
    ],
)
def test_samples_that_are_no_recording(samples, rate_hz, fault):
    with pytest.raises(AudioError, match=f"^call 7: .*{fault}"):
        prepare_samples(samples, rate_hz, name="call 7")


@given(rate_hz=st.integers(4_000, 96_000), samples=st.integers(2_500, 20_000))
def test_resampling_keeps_the_duration(rate_hz: int, samples: int):
    times = np.arange(samples) / rate_hz
    prepared = prepare_samples(np.sin(2 * np.pi * 440 * times), rate_hz)
    assert abs(len(prepared) / 16_000 - samples / rate_hz) <= 1 / 16_000


def test_the_hash_follows_the_samples_alone(tmp_path: Path, voice: Callable[..., np.ndarray]):
    samples = (voice(16_000) * 32_767).astype(np.int16)
    hashes = {
        audio_sha256(read_audio(write(tmp_path / name, samples)))
        for name in ("a.wav", "b.wav", "a.flac", "a.aiff")
    }
    assert len(hashes) == 1
    samples[100] += 1
    assert audio_sha256(read_audio(write(tmp_path / "a.wav", samples))) not in hashes
