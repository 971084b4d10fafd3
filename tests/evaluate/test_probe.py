"""Probes of frozen encoders: what they find, and that they choose without looking."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mfas.corpora import Manifest, Utterance, make_folds, read_manifest
from mfas.errors import ManifestError, ModelError
from mfas.evaluate import head_probe as heads
from mfas.evaluate import linear_probe as linear
from mfas.evaluate import unweighted_accuracy
from mfas.evaluate.pooling import PooledFrames, pool_log_mel
from mfas.evaluate.probe import table2_probe

SPEAKERS, CLASSES, TAKES, WIDTH = 6, "abc", 8, 5


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def corpus(with_values=False):
    rows = [
        (f"{speaker}{label}{take}", f"s{speaker}", label)
        for speaker in range(SPEAKERS)
        for label in CLASSES
        for take in range(TAKES)
    ]
    values = np.random.default_rng(5).uniform(1, 5, (len(rows), 3)) if with_values else None
    return Manifest(
        tuple(
            Utterance(name, Path(name), speaker, label)
            if values is None
            else Utterance(name, Path(name), speaker, label, None, *map(float, values[i]))
            for i, (name, speaker, label) in enumerate(rows)
        )
    )


def pooled_of(statistics_UF, segments=2):
    """Features as if an encoder with a stem and one layer had made them."""
    utterances = len(statistics_UF)
    statistics_ULSD = np.repeat(statistics_UF[:, None, None, :], 2, axis=1).repeat(2, axis=2)
    noise_GD = 0.01 * np.random.default_rng(9).normal(size=(utterances * segments, WIDTH))
    last_GD = np.repeat(statistics_UF, segments, axis=0) + noise_GD
    owner_G = np.repeat(np.arange(utterances), segments)
    layers = ("stem", "1")
    f32 = np.float32
    return PooledFrames(
        "made up", layers, statistics_ULSD.astype(f32), last_GD.astype(f32), owner_G
    )


def made_up(manifest, distance, offset=0.0, seed=0):
    """Noise, to which the class adds `distance` in a dimension of its own, the speaker `offset`s."""
    generator = np.random.default_rng(seed)
    features_UF = generator.normal(size=(len(manifest), WIDTH))
    offsets = dict(zip(manifest.speakers, generator.normal(size=(SPEAKERS, WIDTH)), strict=True))
    for row, utterance in enumerate(manifest):
        features_UF[row, CLASSES.index(utterance.label)] += distance
        features_UF[row] += offset * offsets[utterance.speaker]
    return pooled_of(features_UF)


def relabelled(manifest, change):
    return Manifest(tuple(replace(u, label=change(i, u)) for i, u in enumerate(manifest)))


def shuffled(manifest):
    labels = np.random.default_rng(1).permutation([u.label for u in manifest])
    return relabelled(manifest, lambda i, u: str(labels[i]))


@pytest.fixture
def few_epochs(monkeypatch):
    """For tests that do not ask what heads learn."""
    monkeypatch.setattr(heads, "EPOCHS", 3)


@pytest.fixture
def big_steps(monkeypatch):
    """For tests of what heads learn: 3 batches an epoch are far fewer than a corpus has."""
    monkeypatch.setattr(heads, "EPOCHS", 50)
    monkeypatch.setattr(heads, "LEARNING_RATE", 3e-2)


def head_ua(pooled, manifest):
    return [r.classes.ua for r in heads.head_probe(pooled, manifest) if r.readout == "head"]


# ---- the linear SVM


@pytest.mark.parametrize("adapted", [False, True])
def test_classes_that_lie_apart_are_all_recognised(adapted):
    manifest = corpus()
    result = linear.linear_probe(made_up(manifest, 12), manifest, adapted)
    assert result.ua == result.wa == result.ua_ci95.low == 1
    assert result.fold_ua == (1,) * SPEAKERS
    assert list(result.predicted) == [u.label for u in manifest]


@pytest.mark.parametrize("adapted", [False, True])
def test_shuffled_labels_are_guessed(adapted):
    manifest = corpus()
    result = linear.linear_probe(made_up(manifest, 12), shuffled(manifest), adapted)
    assert 0.2 < result.ua < 0.48


def test_scores_are_those_of_the_predictions():
    manifest = corpus()
    result = linear.linear_probe(made_up(manifest, 1), manifest, adapted=False)
    assert result.ua == unweighted_accuracy([u.label for u in manifest], result.predicted)
    assert result.ua_ci95.low < result.ua < result.ua_ci95.high
    assert set(result.chosen) <= set(linear.GRID)
    assert 0.4 < result.ua < 0.95


def test_offsets_of_speakers_hurt_unless_adapted():
    manifest = corpus()
    pooled = made_up(manifest, 3, offset=12)
    plain, adapted = (linear.linear_probe(pooled, manifest, a) for a in (False, True))
    assert adapted.ua > 0.9
    assert plain.ua < adapted.ua - 0.1
    assert (plain.adapted, adapted.adapted) == (False, True)


def test_adaptation_needs_no_labels():
    features_UF = np.random.default_rng(0).normal(3, 7, size=(9, 4))
    adapted_UF = linear.per_speaker(features_UF, ["x"] * 4 + ["y"] * 4 + ["alone"])
    for own in (slice(0, 4), slice(4, 8)):
        assert np.allclose(adapted_UF[own].mean(axis=0), 0)
        assert np.allclose(adapted_UF[own].std(axis=0), 1)
    assert not adapted_UF[8].any()


def test_a_feature_that_never_varies_does_no_harm():
    manifest = corpus()
    features_UF = made_up(manifest, 12).statistics_ULSD[:, 0, 0].astype(float)
    features_UF[:, 4] = 1e3
    assert linear.linear_probe(pooled_of(features_UF), manifest, adapted=False).ua == 1


def test_labels_of_the_test_speaker_change_neither_c_nor_their_predictions():
    manifest = corpus()
    pooled = made_up(manifest, 1.5)
    test = [i for i, u in enumerate(manifest) if u.speaker == "s2"]
    poisoned = relabelled(manifest, lambda i, u: "abc"[i % 3] if i in test else u.label)
    results = [
        linear.linear_probe(pooled, labels, adapted=False) for labels in (manifest, poisoned)
    ]
    assert results[0].chosen[2] == results[1].chosen[2]
    assert [results[0].predicted[i] for i in test] == [results[1].predicted[i] for i in test]
    assert results[0].fold_ua[2] != results[1].fold_ua[2]


def test_features_of_the_test_speaker_do_not_change_a_plain_probe(big_steps):
    """One utterance far off: were s2 part of any statistics, all others would look alike."""
    manifest = corpus(with_values=True)
    pooled = made_up(manifest, 3)
    odd, *others = [i for i, u in enumerate(manifest) if u.speaker == "s2"]
    changed = replace(
        pooled, statistics_ULSD=pooled.statistics_ULSD.copy(), last_GD=pooled.last_GD.copy()
    )
    changed.statistics_ULSD[odd, :, :, :3] += 1e6
    changed.last_GD[pooled.utterance_G == odd, :3] += 1e6
    one, other = (linear.linear_probe(p, manifest, adapted=False) for p in (pooled, changed))
    assert one.chosen[2] == other.chosen[2]
    assert [one.predicted[i] for i in others] == [other.predicted[i] for i in others]
    rows = (heads.head_probe(p, manifest, seeds=[0]) for p in (pooled, changed))
    for one, other in zip(*rows, strict=True):
        guesses = [row.values.predicted_UV[others] for row in (one, other)]
        assert np.allclose(*guesses, atol=1e-5)


def test_only_the_named_layers_are_read():
    manifest = corpus()
    pooled = made_up(manifest, 12)
    pooled.statistics_ULSD[:, 1] = np.random.default_rng(3).normal(size=(len(manifest), 2, WIDTH))
    assert linear.linear_probe(pooled, manifest, adapted=False, layers=["stem"]).ua == 1
    assert linear.linear_probe(pooled, manifest, adapted=False, layers=["1"]).ua < 0.5
    with pytest.raises(ModelError, match="made up: has no layer 7; choose from stem, 1"):
        linear.linear_probe(pooled, manifest, adapted=False, layers=["7"])


def test_one_training_speaker_is_refused():
    manifest = Manifest(tuple(u for u in corpus() if u.speaker in ("s0", "s1")))
    pooled = pooled_of(np.zeros((len(manifest), WIDTH)))
    with pytest.raises(ManifestError, match="needs at least 2 speakers"):
        linear.linear_probe(pooled, manifest, adapted=False)


def test_sessions_are_kept_whole_where_the_split_does_so(tone_corpus):
    manifest = read_manifest(tone_corpus)
    result = linear.linear_probe(pool_log_mel(manifest), manifest, adapted=True, split="loso")
    assert len(result.fold_ua) == len(manifest.sessions) == 3


# ---- heads on the last layer


def test_heads_find_classes_that_lie_apart_and_nothing_in_shuffled_labels(big_steps):
    manifest = corpus()
    pooled = made_up(manifest, 12)
    assert head_ua(pooled, manifest) == [1, 1, 1]
    assert all(0.2 < ua < 0.48 for ua in head_ua(pooled, shuffled(manifest)))


def test_a_corpus_without_values_gives_classes_only(few_epochs):
    manifest = corpus()
    rows = heads.head_probe(made_up(manifest, 3), manifest, seeds=[0])
    assert [(row.readout, row.seed) for row in rows] == [("constant", None), ("head", 0)]
    assert all(row.values is None for row in rows)
    assert rows[0].classes.ua == pytest.approx(1 / 3)
    some = Manifest((replace(manifest.utterances[0], valence=3.0), *manifest.utterances[1:]))
    assert all(row.values is None for row in heads.head_probe(made_up(some, 3), some, seeds=[0]))


def test_the_constant_is_the_mean_of_the_training_values():
    manifest = corpus(with_values=True)
    pooled = pooled_of(np.zeros((len(manifest), WIDTH)))
    constant = heads.head_probe(pooled, manifest, seeds=[])[0].values
    true_UV = np.array([[u.valence, u.arousal, u.dominance] for u in manifest])
    for fold in make_folds(manifest, "lospo", 0, heads.INNER_FRACTION, "inner"):
        mean_V = true_UV[list(fold.train)].mean(axis=0)
        assert np.allclose(constant.predicted_UV[list(fold.test)], mean_V)
    missed_V = ((true_UV - constant.predicted_UV) ** 2).mean(axis=0)
    assert list(constant.mse.values()) == pytest.approx(missed_V)
    assert all(abs(ccc) < 0.1 for ccc in constant.ccc.values())


def test_ridge_and_heads_find_values_that_are_linear_in_the_features(big_steps):
    manifest = corpus(with_values=True)
    true_UV = np.array([[u.valence, u.arousal, u.dominance] for u in manifest])
    mixed_UF = true_UV @ (np.eye(3, WIDTH) + 0.2)
    constant, ridge, head = heads.head_probe(pooled_of(mixed_UF), manifest, seeds=[0])
    assert (ridge.readout, ridge.classes) == ("ridge", None)
    for name in heads.VALUES:
        assert ridge.values.mse[name] < head.values.mse[name] + 0.01
        assert head.values.mse[name] < 0.1 * constant.values.mse[name]
        assert ridge.values.ccc[name] > 0.99


def test_ridge_is_the_closed_form():
    generator = np.random.default_rng(0)
    inputs_GD, targets_GV = generator.normal(size=(40, 6)), generator.normal(3, 1, size=(40, 3))
    train, validation = np.arange(25), np.arange(25, 40)
    inputs_GD = linear.standardised(inputs_GD, inputs_GD[train])
    outputs_GV, chosen = heads.ridge(heads.FoldSegments(inputs_GD, train, validation), targets_GV)
    x_TD = inputs_GD[train]
    for value, penalty in enumerate(chosen):
        y_T = targets_GV[train, value]
        weights_D = np.linalg.solve(x_TD.T @ x_TD + 25 * penalty * np.eye(6), x_TD.T @ y_T)
        assert np.allclose(outputs_GV[:, value], inputs_GD @ weights_D + y_T.mean())


def test_errors_by_hand():
    true, predicted = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 5.0])
    # means 2 and 3, variances 2/3 and 2, covariance 1: 2 / (2/3 + 2 + 1)
    assert heads.concordance(true, predicted) == pytest.approx(6 / 11)
    assert heads.concordance(true, true) == pytest.approx(1)
    assert heads.concordance(true, np.full(3, 9.0)) == 0
    scores = heads.score_values(np.tile(true[:, None], 3), np.tile(predicted[:, None], 3))
    assert scores.mse == pytest.approx(dict.fromkeys(heads.VALUES, 5 / 3))
    assert scores.ccc == pytest.approx(dict.fromkeys(heads.VALUES, 6 / 11))


def test_heads_never_see_the_test_speaker(big_steps):
    manifest = corpus(with_values=True)
    pooled = made_up(manifest, 1.5)
    fold = make_folds(manifest, "lospo", 0, heads.INNER_FRACTION, "inner")[2]
    poisoned = Manifest(
        tuple(
            replace(u, label="abc"[i % 3], valence=99.0, arousal=-99.0, dominance=0.0)
            if i in fold.test
            else u
            for i, u in enumerate(manifest)
        )
    )
    test = list(fold.test)
    clean, changed = (heads.head_probe(pooled, m, seeds=[0]) for m in (manifest, poisoned))
    for one, other in zip(clean, changed, strict=True):
        assert np.array_equal(one.values.predicted_UV[test], other.values.predicted_UV[test])
        if one.classes is not None:
            assert [one.classes.predicted[i] for i in test] == [
                other.classes.predicted[i] for i in test
            ]
            assert one.classes.chosen[2:3] == other.classes.chosen[2:3]


def test_the_epoch_is_chosen_on_validation(monkeypatch):
    manifest = corpus()
    pooled = made_up(manifest, 1)
    fold = make_folds(manifest, "lospo", 0, heads.INNER_FRACTION, "inner")[0]
    segments = heads.fold_segments(pooled, fold)
    losses = [3.0, 2.0, 2.5, 1.0, *[2.0] * 50]
    monkeypatch.setattr(heads, "_epochs", lambda *_: iter(losses))
    targets_G = torch.zeros(len(pooled.last_GD), dtype=torch.long)
    assert heads.train_head(segments, targets_G, 3, torch.nn.functional.cross_entropy, 0)[1] == 4


def test_probes_give_the_same_again_and_another_head_for_another_seed(few_epochs):
    manifest = corpus(with_values=True)
    pooled = made_up(manifest, 1)
    one, again = (heads.head_probe(pooled, manifest, seeds=[0, 1]) for _ in range(2))
    for a, b in zip(one, again, strict=True):
        assert a.classes == b.classes
        assert np.array_equal(a.values.predicted_UV, b.values.predicted_UV)
    first, second = (row.values.predicted_UV for row in one[-2:])
    assert not np.array_equal(first, second)
    assert linear.linear_probe(pooled, manifest, True) == linear.linear_probe(
        pooled, manifest, True
    )


# ---- everything together


def test_the_json_of_table_2(few_epochs):
    manifest = corpus(with_values=True)
    pooled = made_up(manifest, 1)
    found = table2_probe(pooled, manifest)
    json.dumps(found)
    assert found["seeds_ua"] == head_ua(pooled, manifest)
    assert found["ua"] == pytest.approx(np.mean(found["seeds_ua"]))
    assert found["ua_ci95"][0] < found["ua"] < found["ua_ci95"][1]
    assert [len(found["predicted"]), len(found["predicted"][0])] == [3, len(manifest)]
    for condition, adapted in (("plain", False), ("adapted", True)):
        svm = linear.linear_probe(pooled, manifest, adapted)
        assert found["svm"][condition]["ua"] == svm.ua
        assert found["svm"][condition]["ua_ci95"] == [svm.ua_ci95.low, svm.ua_ci95.high]
        named = [found["classes"][i] for i in found["svm"][condition]["predicted"][0]]
        assert tuple(named) == svm.predicted
    assert {len(scores) for scores in found["vad"].values()} == {3}
    without = corpus()
    assert table2_probe(made_up(without, 3), without)["vad"] is None
