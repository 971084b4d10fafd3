"""A frozen encoder runs once; what is read back is what it gave."""

import logging

import numpy as np
import pytest
import torch

from mfas.encoders import (
    FrameCache,
    TransformerEncoder,
    cached_frames,
    default_cache_folder,
    encode_corpus,
    encode_segments,
)
from mfas.errors import ModelError


@pytest.fixture
def encoder(small_configs):
    return TransformerEncoder(small_configs["compact"]).freeze()


@pytest.fixture
def cache(tmp_path):
    return FrameCache(tmp_path)


@pytest.fixture
def passes(encoder):
    """How often the encoder ran."""
    counted = []
    encoder.register_forward_hook(lambda *_: counted.append(1))
    return counted


def unread():
    raise AssertionError("a hit must not read audio")


def test_encoded_segments_are_rounded_frames(encoder, recording):
    segments = recording([48_000, 48_000, 7_000])
    frames_SLTD = encode_segments(encoder, segments)
    assert frames_SLTD.dtype == np.float16
    assert frames_SLTD.shape == (3, 3, 149, 32)
    waveforms_SN = torch.from_numpy(segments.waveforms_SN)
    direct = encoder(waveforms_SN, torch.from_numpy(segments.samples_S))
    assert np.array_equal(frames_SLTD, direct.hidden_BLTD.half().numpy())


def test_batches_may_be_smaller_than_the_recording(encoder, recording):
    segments = recording([48_000] * 4 + [9_000])
    one, all_at_once = (encode_segments(encoder, segments, batch=n) for n in (1, 16))
    np.testing.assert_allclose(one, all_at_once, atol=2e-3)


def test_a_hit_runs_no_encoder_and_reads_no_audio(encoder, passes, recording, cache):
    segments = recording([48_000, 30_000])
    first_SLTD = cached_frames(encoder, cache, "a", lambda: segments)
    assert len(passes) == 1
    again_SLTD = cached_frames(encoder, cache, "a", unread)
    assert len(passes) == 1
    assert isinstance(again_SLTD, np.memmap)
    assert np.array_equal(first_SLTD, again_SLTD)
    assert np.array_equal(encode_segments(encoder, segments), again_SLTD)
    assert cache.path(encoder, "a").is_file()


def test_a_corpus_is_encoded_once(encoder, passes, recording, cache):
    told = []
    recordings = [recording([48_000] * n + [20_000], seed=n) for n in range(3)]
    keys = ["x", "y", "z"]
    paths = encode_corpus(encoder, cache, keys, recordings.__getitem__, told.append)
    first = [np.load(path) for path in paths]
    assert told == [1, 2, 3]
    assert [len(frames_SLTD) for frames_SLTD in first] == [1, 2, 3]
    runs = len(passes)
    again = [np.load(path) for path in encode_corpus(encoder, cache, keys, lambda _: unread())]
    assert len(passes) == runs
    for frames_SLTD, expected_SLTD, segments in zip(again, first, recordings, strict=True):
        assert np.array_equal(frames_SLTD, expected_SLTD)
        assert np.array_equal(frames_SLTD, encode_segments(encoder, segments))


def test_other_weights_levels_and_precision_have_other_files(encoder, small_configs, cache):
    others = [
        TransformerEncoder(small_configs["compact"], seed=1),
        TransformerEncoder(small_configs["compact"], "tec"),
    ]
    paths = {cache.path(other.freeze(), "a") for other in others}
    paths |= {cache.path(encoder, "a"), cache.path(encoder, "a", "bf16")}
    assert len(paths) == 4


@pytest.mark.parametrize("damage", ["cut", "empty", "shape", "type", "text"])
def test_a_damaged_file_is_reported_and_written_again(damage, encoder, recording, cache, caplog):
    segments = recording([10_000])
    expected_SLTD = np.array(cached_frames(encoder, cache, "a", lambda: segments))
    path = cache.path(encoder, "a")
    content = path.read_bytes()
    if damage == "shape":
        np.save(path, expected_SLTD[:, :1])
    elif damage == "type":
        np.save(path, expected_SLTD.astype(np.float32))
    else:
        path.write_bytes({"cut": content[:-9], "empty": b"", "text": b"hello"}[damage])
    with caplog.at_level(logging.WARNING, logger="mfas"):
        repaired_SLTD = cached_frames(encoder, cache, "a", lambda: segments)
    assert len(caplog.messages) == 1
    assert str(path) in caplog.text
    assert np.array_equal(repaired_SLTD, expected_SLTD)
    assert path.read_bytes() == content


def test_bf16_is_close_to_float32(encoder, recording):
    segments = recording([48_000])
    full, half = (encode_segments(encoder, segments, precision=p) for p in ("float32", "bf16"))
    assert not np.array_equal(full, half)
    assert np.abs(full.astype(np.float32) - half).mean() < 0.02


def test_frames_beyond_float16_are_refused(encoder, recording):
    with torch.no_grad():
        encoder.blocks[3].ffn_norm.weight.fill_(1e6)
    with pytest.raises(ModelError, match="compact: gives frames beyond the range of float16; "):
        encode_segments(encoder, recording([48_000]))


def test_the_folder_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MFAS_CACHE", str(tmp_path))
    assert default_cache_folder() == tmp_path
    assert FrameCache().folder == tmp_path
    monkeypatch.delenv("MFAS_CACHE")
    assert default_cache_folder().name == "mfas"
