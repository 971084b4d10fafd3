"""Every segment is an example once an epoch, and rare classes count as much as frequent ones."""

import numpy as np
import pytest
import torch

from mfas.train import SegmentSet
from mfas.train.data import Window


def ids_of(data: SegmentSet, utterances, size, seed=None):
    return [ids for _, _, ids in data.batches(utterances, size, seed)]


def flat(batches):
    return [one for ids in batches for one in ids]


def test_batches_hold_every_segment_once_with_its_class(experiment):
    data = experiment.data
    utterances = [3, 0, 7]
    batches = list(data.batches(utterances, 2, seed=5))
    ids = flat([ids for _, _, ids in batches])
    assert sorted(ids) == sorted(data.segments_of(utterances))
    assert [len(ids) for _, _, ids in batches[:-1]] == [2] * (len(batches) - 1)
    for batch, targets_B, ids in batches:
        assert targets_B.tolist() == [data.targets_U[u] for u, _ in ids]
        assert len(batch.samples_B) == len(ids)


def test_targets_are_the_labels_in_the_order_of_the_classes(experiment):
    labels = [experiment.classes[target] for target in experiment.data.targets_U]
    assert labels == [utterance.label for utterance in experiment.manifest]


def test_order_follows_from_the_seed_alone(experiment):
    data, everything = experiment.data, range(len(experiment.manifest))
    assert flat(ids_of(data, everything, 8)) == data.segments_of(everything)
    assert ids_of(data, everything, 8, seed=1) == ids_of(data, everything, 8, seed=1)
    assert ids_of(data, everything, 8, seed=1) != ids_of(data, everything, 8, seed=2)
    assert flat(ids_of(data, everything, 8, seed=1)) != data.segments_of(everything)


def test_long_recordings_have_several_segments(experiment):
    files = [utterance.file for utterance in experiment.manifest]
    counts = dict(zip(files, experiment.data.features.segment_counts, strict=True))
    assert counts["ann/calm0.wav"] == 2
    assert counts["ann/calm1.wav"] == 1


def test_weighted_classes_count_the_same(experiment):
    data = SegmentSet(experiment.data.features, (0, 0, 0, 0, 0, 1, 2, 2), classes=3)
    chosen = range(8)
    weights_K = data.class_weights(chosen, balance=True)
    totals = torch.bincount(torch.tensor(data.targets_U)) * weights_K
    torch.testing.assert_close(totals, torch.full((3,), 8 / 3))
    assert data.class_weights(chosen, balance=False).tolist() == [1, 1, 1]


def test_weights_come_from_the_given_utterances_and_stay_finite(experiment):
    data = SegmentSet(experiment.data.features, (0, 0, 1, 2), classes=3)
    weights_K = data.class_weights([0, 2], balance=True)
    assert weights_K[0] == weights_K[1] == pytest.approx(2 / 3)
    assert torch.isfinite(weights_K).all()


@pytest.mark.parametrize("segments", [1, 2, 4])
def test_windows_hold_every_segment_once_in_order(experiment, segments):
    data = experiment.data
    utterances = [3, 0, 7, 12]
    windows = data.windows_of(utterances, segments)
    covered = [(w.utterance, w.first + s) for w in windows for s in range(w.segments)]
    assert covered == data.segments_of(utterances)
    assert all(1 <= window.segments <= segments for window in windows)
    yielded = [
        w for _, some in data.windows(data.windows_of(utterances, segments), size=2) for w in some
    ]
    assert sorted(yielded) == sorted(windows)


def test_a_recording_is_cut_into_full_windows_and_a_rest():
    """Windows of 4: one of 10 segments has 4, 4 and 2."""
    data = SegmentSet(FeaturesOf([10, 1, 4]), (0, 0, 0), 1)
    assert data.windows_of([2, 0, 1], 4) == [
        Window(2, 0, 4),
        Window(0, 0, 4),
        Window(0, 4, 4),
        Window(0, 8, 2),
        Window(1, 0, 1),
    ]


class FeaturesOf:
    """Nothing but how many segments each utterance has."""

    def __init__(self, segment_counts: list[int]) -> None:
        self.segment_counts = segment_counts


def test_a_batch_of_windows_has_the_frames_of_their_segments(experiment):
    data = experiment.data
    long, short = data.features.segment_counts.index(2), data.features.segment_counts.index(1)
    seen = {}
    for batch, windows in data.windows(data.windows_of([short, long], 4)):
        assert len({window.segments for window in windows}) == 1, "alike in a batch"
        assert batch.spectrograms_BFV is None
        assert batch.waveforms_BN is None
        for row, window in enumerate(windows):
            for name in ("sec", "tec"):
                frames = getattr(batch, name)
                seen[window, name] = frames.hidden_BLTD[row][:, frames.mask_BT[row]]
    assert {window for window, _ in seen} == {Window(short, 0, 1), Window(long, 0, 2)}
    for (window, name), real_LTD in seen.items():
        stored_SLTD = np.load(data.features.encoded[name][window.utterance])
        counts_S = data.features.encoded_frames[name][window.utterance]
        expected_LTD = np.concatenate(
            [
                hidden_LTD[:, :count]
                for hidden_LTD, count in zip(stored_SLTD, counts_S, strict=True)
            ],
            axis=1,
        )
        assert np.array_equal(real_LTD, expected_LTD.astype(np.float32))


def test_speakers_and_groups_are_those_of_the_manifest(experiment):
    speakers = tuple(utterance.speaker for utterance in experiment.manifest)
    assert experiment.data.speakers == experiment.data.groups == speakers
