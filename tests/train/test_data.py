"""Every segment is an example once an epoch, and rare classes count as much as frequent ones."""

import pytest
import torch

from mfas.train import SegmentSet


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
