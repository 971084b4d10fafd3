"""A model in closed form, saved and loaded, answers as the evaluation did, and adapts to a voice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mfas.audio import read_audio
from mfas.errors import AudioError, ModelError
from mfas.evaluate import train_model
from mfas.evaluate.experiment import prepare_experiment, read_corpus
from mfas.model import load_model
from mfas.recognize import Recognizer
from mfas.train import utterance_log_probabilities
from mfas.train.pooled import by_utterance, pool_utterances, voices

CLASSES = ("calm", "glad", "tense")
SECOND = 16_000


@pytest.fixture(scope="module")
def ridge_recipe(quick_recipe):
    """Windows of two segments, 6 s; the strategy is fixed."""
    return quick_recipe(
        *("--head.kind", "ridge", "--head.context_seconds", "6", "--fusion.strategy", "middle:ism")
    )


@pytest.fixture(scope="module")
def ridge_folder(ridge_recipe, tone_cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("closed") / "model"
    train_model(ridge_recipe, folder, cache=tone_cache)
    return folder


@pytest.fixture(scope="module")
def rec(ridge_folder) -> Recognizer:
    return Recognizer.from_pretrained(ridge_folder)


@pytest.fixture(scope="module")
def evaluated(ridge_recipe, tone_cache):
    """The corpus as an evaluation sees it."""
    return prepare_experiment(ridge_recipe, read_corpus(ridge_recipe), tone_cache)


@pytest.fixture(scope="module")
def cid(tone_corpus):
    """What one speaker says, as files."""
    return sorted((tone_corpus.parent / "cid").iterdir())


@pytest.fixture(scope="module")
def adapted(rec, cid) -> Recognizer:
    return rec.adapt(cid)


def logs(prediction) -> np.ndarray:
    return np.log([prediction.probabilities[name] for name in CLASSES])


def assert_same(one, other, atol=0.05):
    """Both of them log-probabilities, which a temperature of 0.02 made 50 times as large."""
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=0, atol=atol)


def test_a_whole_utterance_gets_what_the_evaluation_gives_it(rec, ridge_folder, evaluated):
    model, _ = load_model(ridge_folder)
    utterances = [0, 1, 7, 23]
    expected_UK = utterance_log_probabilities(model, evaluated.data, utterances)
    for utterance, expected_K in zip(utterances, expected_UK, strict=True):
        seen = rec.predict(evaluated.manifest.utterances[utterance].path)
        assert_same(logs(seen), expected_K)
    assert len({tuple(row) for row in expected_UK.tolist()}) == 4


def test_a_voice_is_the_one_of_the_evaluation(rec, adapted, ridge_folder, evaluated):
    model, _ = load_model(ridge_folder)
    said = [u for u, name in enumerate(evaluated.data.speakers) if name == "cid"]
    pooled = pool_utterances(model, evaluated.data, said)
    ((rows, voice),) = voices(model.head, pooled, evaluated.data)
    with torch.no_grad():
        rows_WK = model.head.classify(pooled.features_WF[rows], voice)
    expected_UK = by_utterance(rows_WK, pooled, said)
    changed = []
    for utterance, expected_K in zip(said, expected_UK, strict=True):
        path = evaluated.manifest.utterances[utterance].path
        assert_same(logs(adapted.predict(path)), expected_K)
        changed.append(np.abs(logs(adapted.predict(path)) - logs(rec.predict(path))).max())
    assert max(changed) > 0.01


def test_segments_are_each_predicted_alone(rec, voice):
    samples = voice(round(7.25 * SECOND), seed=1)
    prediction = rec.predict((samples, SECOND))
    assert [(part.start, part.end) for part in prediction.segments] == [(0, 3), (3, 6), (6, 7.25)]
    for number, part in enumerate(prediction.segments):
        alone = rec.predict((samples[number * 3 * SECOND :][: 3 * SECOND], SECOND))
        assert_same(logs(part), logs(alone))
        assert part.label == max(part.probabilities, key=part.probabilities.get)
    assert len({part.probabilities["calm"] for part in prediction.segments}) == 3


def test_a_long_recording_is_its_windows_weighted_by_their_frames(rec, ridge_folder, voice):
    samples = voice(14 * SECOND, seed=3)  # windows of 6, 6 and 2 s
    encoder = load_model(ridge_folder)[0].sec
    windows = [samples[start * SECOND :][: 6 * SECOND] for start in (0, 6, 12)]
    per_segment = [[3, 3], [3, 3], [2]]
    frames = [
        int(encoder.frame_counts(torch.tensor(seconds) * SECOND).sum()) for seconds in per_segment
    ]
    each = [logs(rec.predict((part, SECOND))) for part in windows]
    mean_K = np.average(each, axis=0, weights=frames)
    expected_K = mean_K - np.log(np.exp(mean_K).sum())
    assert_same(logs(rec.predict((samples, SECOND))), expected_K)
    assert np.ptp(each, axis=0).max() > 0.01


def test_predicting_repeats_and_adapting_leaves_the_recognizer_as_it_was(rec, cid):
    before = rec.predict(cid[0])
    rec.adapt(cid[1:3])
    assert rec.predict(cid[0]) == before


def test_an_adapted_recognizer_says_so(rec, adapted, cid):
    assert adapted.name == f"{rec.name}, adapted"
    assert adapted.predict(cid[0]).model == adapted.name
    assert adapted.classes == rec.classes == CLASSES
    assert adapted.notes[:-1] == rec.notes
    assert adapted.notes[-1].startswith(f"Adapted to one speaker with {len(cid)} recordings")


def test_files_and_samples_make_the_same_voice(adapted, rec, cid):
    samples = [(read_audio(path), SECOND) for path in cid]
    expected = adapted.predict(cid[0])
    assert rec.adapt(samples).predict(cid[0]) == expected
    assert rec.adapt([str(path) for path in cid]).predict(cid[0]) == expected


def test_another_voice_gives_other_answers(adapted, rec, cid, tone_corpus):
    dot = rec.adapt(sorted((tone_corpus.parent / "dot").iterdir()))
    assert dot.predict(cid[0]).probabilities != adapted.predict(cid[0]).probabilities


def test_one_recording_is_enough_to_adapt(rec, cid):
    probabilities = rec.adapt(cid[:1]).predict(cid[0]).probabilities
    assert all(np.isfinite(list(probabilities.values())))
    assert sum(probabilities.values()) == pytest.approx(1)


def test_a_saved_voice_is_found_again(adapted, cid, tmp_path):
    adapted.save(tmp_path / "cid")
    again = Recognizer.from_pretrained(tmp_path / "cid")
    expected = adapted.predict(cid[0])
    assert again.predict(cid[0]) == replace(expected, model=again.name)
    assert again.notes == adapted.notes


def test_a_saved_voice_can_become_another(adapted, rec, cid, tone_corpus, tmp_path):
    adapted.save(tmp_path / "cid")
    dots = sorted((tone_corpus.parent / "dot").iterdir())
    again = Recognizer.from_pretrained(tmp_path / "cid").adapt(dots)
    assert logs(again.predict(dots[0])) == pytest.approx(logs(rec.adapt(dots).predict(dots[0])))


def test_coattention_cannot_be_adapted(model_folder, cid):
    coattention = Recognizer.from_pretrained(model_folder)
    assert not coattention.can_adapt
    with pytest.raises(ModelError) as raised:
        coattention.adapt(cid)
    assert str(raised.value) == (
        f'{model_folder}: cannot be adapted to a voice; train a model with head.kind = "ridge"'
    )


def test_what_no_voice_can_be_made_of_is_refused(rec, cid, tmp_path):
    assert rec.can_adapt
    with pytest.raises(AudioError, match="no recordings of the speaker; name some to adapt to"):
        rec.adapt([])
    with pytest.raises(AudioError, match="no such file"):
        rec.adapt([cid[0], tmp_path / "gone.wav"])
