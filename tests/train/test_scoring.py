"""An utterance's opinion is the mean of its segments' log-probabilities, however they are batched."""

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

from mfas.train import Scores, score_utterances, utterance_log_probabilities


def test_utterance_is_the_mean_of_its_segments(experiment, make_model):
    model, data = make_model().eval(), experiment.data
    long = data.features.segment_counts.index(2)
    utterances = (long + 1, long)
    found_UK = utterance_log_probabilities(model, data, utterances)
    with torch.no_grad():
        for row, utterance in enumerate(utterances):
            batch = data.features.batch(data.segments_of([utterance]))
            expected_K = model(batch).mean(dim=0).log_softmax(dim=-1)
            torch.testing.assert_close(found_UK[row], expected_K, atol=1e-5, rtol=0)
    torch.testing.assert_close(found_UK.exp().sum(dim=1), torch.ones(2))


def test_batch_size_and_mode_do_not_matter(experiment, make_model, said_by):
    model = make_model().train()
    utterances = said_by("ann", "cid")
    one, all_at_once = (
        utterance_log_probabilities(model, experiment.data, utterances, size) for size in (1, 64)
    )
    torch.testing.assert_close(one, all_at_once, atol=1e-5, rtol=0)
    assert model.training


def test_scores_are_scikit_learns(experiment, make_model, said_by):
    data, utterances = experiment.data, said_by("ann", "bob", "cid")
    scores = score_utterances(make_model(), data, utterances)
    log_probabilities_UK = utterance_log_probabilities(make_model(), data, utterances)
    true = [data.targets_U[u] for u in utterances]
    predicted = log_probabilities_UK.argmax(dim=1)
    assert scores.ua == pytest.approx(balanced_accuracy_score(true, predicted))
    assert scores.wa == pytest.approx(accuracy_score(true, predicted))
    assert scores.loss == pytest.approx(
        log_loss(true, log_probabilities_UK.double().softmax(dim=1).numpy()), abs=1e-5
    )


def test_ua_decides_and_the_loss_breaks_ties():
    scores = Scores(ua=0.6, wa=0.9, loss=0.5)
    assert scores.better_than(None)
    assert scores.better_than(Scores(ua=0.5, wa=1.0, loss=0.1))
    assert scores.better_than(Scores(ua=0.6, wa=1.0, loss=0.6))
    assert not scores.better_than(scores)
