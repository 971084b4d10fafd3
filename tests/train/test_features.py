"""The cache gives what would be computed without it, and is never trusted when it is damaged."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mfas.audio import read_audio, segment
from mfas.config import EncoderSection
from mfas.corpora import Manifest, Utterance, read_manifest
from mfas.encoders import FrameCache, load_encoder
from mfas.errors import AudioError
from mfas.model import Batch
from mfas.train import prepare_features

TENSORS = ("spectrograms_BFV", "mfccs_BVC", "frames_B", "samples_B", "waveforms_BN")


@pytest.fixture(scope="module")
def encoder():
    return load_encoder(EncoderSection(encoder="compact", seed=1), "sec")


@pytest.fixture(scope="module")
def manifest(tone_corpus) -> Manifest:
    """One speaker: 6 utterances, 7 segments."""
    whole = read_manifest(tone_corpus)
    return Manifest(tuple(u for u in whole if u.speaker == "ann"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> FrameCache:
    return FrameCache(tmp_path_factory.mktemp("features"))


@pytest.fixture(scope="module")
def features(manifest, encoder, cache):
    return prepare_features(manifest, {"sec": encoder}, cache, waveforms=True)


def everything(features) -> Batch:
    counts = features.segment_counts
    return features.batch([(u, s) for u, count in enumerate(counts) for s in range(count)])


def assert_same(one: Batch, other: Batch) -> None:
    for name in TENSORS:
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for name in ("sec", "tec"):
        frames, others = getattr(one, name), getattr(other, name)
        assert (frames is None) == (others is None)
        if frames is not None:
            assert torch.equal(frames.hidden_BLTD, others.hidden_BLTD)
            assert torch.equal(frames.mask_BT, others.mask_BT)


def test_a_second_run_encodes_nothing_and_gives_the_same_bits(manifest, cache, features):
    encoder = load_encoder(EncoderSection(encoder="compact", seed=1), "sec")
    forwards = []
    encoder.register_forward_hook(lambda *_: forwards.append(1))
    again = prepare_features(manifest, {"sec": encoder}, cache, waveforms=True)
    assert forwards == []
    assert_same(everything(again), everything(features))


def test_a_first_run_encodes_every_utterance_and_tells_its_progress(manifest, tmp_path):
    encoder = load_encoder(EncoderSection(encoder="compact", seed=1), "tec")
    forwards, told = [], []
    encoder.register_forward_hook(lambda *_: forwards.append(1))
    few = Manifest(manifest.utterances[:2])
    prepare_features(few, {"tec": encoder}, FrameCache(tmp_path), False, lambda *p: told.append(p))
    assert len(forwards) >= len(few)
    assert told == [("views", 1, 2), ("views", 2, 2), ("TEC frames", 1, 2), ("TEC frames", 2, 2)]


def test_cached_equals_uncached(manifest, encoder, features):
    for index, utterance in enumerate(manifest):
        direct = Batch.from_segments(segment(read_audio(utterance.path)))
        with torch.no_grad():
            frames = encoder(direct.waveforms_BN, direct.samples_B)
        rounded = replace(frames, hidden_BLTD=frames.hidden_BLTD.half().float())
        count = features.segment_counts[index]
        assert count == len(direct.samples_B)
        stored = features.batch([(index, s) for s in range(count)])
        assert_same(stored, replace(direct, sec=rounded))


def test_rows_of_a_batch_are_those_asked_for(features):
    long = next(u for u, count in enumerate(features.segment_counts) if count == 2)
    chosen = [(5, 0), (long, 1), (1, 0), (long, 0)]
    batch = features.batch(chosen)
    for row, one in enumerate(chosen):
        alone = features.batch([one])
        for name in TENSORS:
            assert torch.equal(getattr(batch, name)[row], getattr(alone, name)[0])
        assert torch.equal(batch.sec.hidden_BLTD[row], alone.sec.hidden_BLTD[0])
        assert torch.equal(batch.sec.mask_BT[row], alone.sec.mask_BT[0])
    assert batch.samples_B[3] == 48_000
    assert batch.samples_B[1] < 48_000


def test_without_fine_tuning_no_waveforms_are_kept(manifest, tmp_path):
    features = prepare_features(manifest, {}, FrameCache(tmp_path), waveforms=False)
    assert everything(features).waveforms_BN is None
    assert len(list(tmp_path.rglob("*.npy"))) == len(manifest)


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("this is no array")


def other_shape(path: Path) -> None:
    stored = np.load(path)
    np.save(path, np.concatenate([stored, stored]))


def other_precision(path: Path) -> None:
    np.save(path, np.load(path).astype(np.float64))


@pytest.mark.parametrize("damage", [cut_in_half, empty, text, other_shape, other_precision])
@pytest.mark.parametrize("kind", ["views", "waveforms"])
def test_a_damaged_cache_file_is_told_and_made_anew(manifest, tmp_path, caplog, damage, kind):
    one, cache = Manifest(manifest.utterances[:1]), FrameCache(tmp_path)
    sound = everything(prepare_features(one, {}, cache, waveforms=True))
    (path,) = tmp_path.glob(f"{kind}-*/*.npy")
    damage(path)
    with caplog.at_level(logging.WARNING):
        again = everything(prepare_features(one, {}, cache, waveforms=True))
    assert_same(again, sound)
    (warning,) = caplog.messages
    assert warning.startswith(f"{path}: ")
    assert warning.endswith("; computing it again")
    caplog.clear()
    prepare_features(one, {}, cache, waveforms=True)
    assert caplog.messages == []


def test_a_renamed_file_is_found_again(manifest, encoder, cache, features, tmp_path):
    old = manifest.utterances[0]
    new = tmp_path / "renamed.wav"
    new.write_bytes(old.path.read_bytes())
    forwards = []
    with encoder.register_forward_hook(lambda *_: forwards.append(1)):
        renamed = Manifest((Utterance("renamed.wav", new, "ann", old.label),))
        again = prepare_features(renamed, {"sec": encoder}, cache, waveforms=True)
    assert forwards == []
    assert again.audio_hashes == features.audio_hashes[:1]


def test_parts_of_one_file_are_utterances_of_their_own(manifest, tmp_path):
    long = next(u for u in manifest if u.file.endswith("calm0.wav"))
    parts = Manifest((replace(long, end=1.0), replace(long, start=1.0, end=1.5)))
    features = prepare_features(parts, {}, FrameCache(tmp_path), waveforms=True)
    batch = everything(features)
    assert batch.samples_B.tolist() == [16_000, 8_000]
    whole = torch.from_numpy(read_audio(long.path))
    assert torch.equal(batch.waveforms_BN[0, :16_000], whole[:16_000])
    assert torch.equal(batch.waveforms_BN[1, :8_000], whole[16_000:24_000])
    assert not batch.waveforms_BN[1, 8_000:].any()


def test_what_cannot_be_read_is_named(manifest, tmp_path):
    gone = Utterance("gone.wav", tmp_path / "gone.wav", "ann", "calm")
    with pytest.raises(AudioError, match=r"gone\.wav: no such file; "):
        prepare_features(
            Manifest((*manifest, gone)), {}, FrameCache(tmp_path / "c"), waveforms=False
        )
