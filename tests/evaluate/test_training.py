"""A trained model, saved and loaded, says of a recording what the model in training said."""

import pytest
import torch
from safetensors.torch import load_file

from mfas.encoders import save_random_huggingface
from mfas.errors import ModelError
from mfas.evaluate import train_model, training
from mfas.model import load_model
from mfas.recognize import Recognizer
from mfas.storage import read_csv
from mfas.train import utterance_log_probabilities


@pytest.fixture
def opinions(monkeypatch):
    """What the fitted model says of every utterance, noted before it is saved."""
    noted = []
    fit = training.fit

    def noting(model, data, *rest, **named):
        result = fit(model, data, *rest, **named)
        everything = range(len(data.targets_U))
        noted.append(utterance_log_probabilities(model, data, everything))
        return result

    monkeypatch.setattr(training, "fit", noting)
    return noted


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("--fusion.strategy", "middle:attention"),
        ("--tec.encoder", "none"),
        ("--fusion.strategy", "none"),
    ],
)
def test_the_saved_model_predicts_as_the_fitted_one(
    quick_recipe, tone_corpus, tone_cache, tmp_path, opinions, overrides
):
    stages = set()
    result = train_model(
        quick_recipe(*overrides),
        tmp_path / "model",
        cache=tone_cache,
        progress=lambda stage, done, total: stages.add(stage),
    )
    recognizer = Recognizer.from_pretrained(tmp_path / "model")
    assert recognizer.classes == ("calm", "glad", "tense")
    assert len(recognizer.notes) == (1 if "--tec.encoder" in overrides else 2)
    files = sorted(row["file"] for row in read_csv(tone_corpus))
    for file in ("ann/calm0.wav", "dot/tense1.wav"):
        prediction = recognizer.predict(tone_corpus.parent / file)
        expected_K = opinions[0][files.index(file)].exp().tolist()
        assert list(prediction.probabilities.values()) == pytest.approx(expected_K, abs=1e-5)
    assert "training epoch" in stages
    assert ("search epoch" in stages) == (not overrides)
    card = load_model(tmp_path / "model")[1]
    assert card.validation_ua == result.best.ua


def test_fine_tuning_changes_the_encoder_and_saves_it(
    quick_recipe, tone_corpus, tone_cache, tmp_path, opinions
):
    save_random_huggingface("wav2vec2", tmp_path / "encoder", seed=0, size="tiny")
    recipe = quick_recipe(
        *("--sec.encoder", str(tmp_path / "encoder"), "--sec.finetune", "true"),
        *("--tec.encoder", str(tmp_path / "encoder"), "--train.encoder_lr", "1e-3"),
        *("--fusion.strategy", "last:sum", "--train.epochs", "1"),
    )
    train_model(recipe, tmp_path / "model", cache=tone_cache)
    before = load_file(tmp_path / "encoder" / "model.safetensors")
    model, _ = load_model(tmp_path / "model")
    tuned, frozen = (
        [name for name, t in encoder.model.state_dict().items() if not torch.equal(t, before[name])]
        for encoder in (model.sec, model.tec)
    )
    assert any(name.startswith("encoder.layers.0.") for name in tuned)
    assert any(name.startswith("encoder.layers.3.") for name in tuned)
    assert frozen == []
    prediction = Recognizer.from_pretrained(tmp_path / "model").predict(
        tone_corpus.parent / "ann" / "calm0.wav"
    )
    expected_K = opinions[0][0].exp().tolist()
    assert list(prediction.probabilities.values()) == pytest.approx(expected_K, abs=1e-4)


def test_a_model_is_never_overwritten(quick_recipe, tone_cache, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="exists and is not empty; name another --out"):
        train_model(quick_recipe(), tmp_path / "model", cache=tone_cache)
    with pytest.raises(ModelError, match="exists and is not empty; name another --out"):
        train_model(quick_recipe(), tmp_path / "model" / "notes.txt", cache=tone_cache)


def test_held_out_speakers_choose_and_do_not_train(
    quick_recipe, tone_cache, tmp_path, monkeypatch, experiment
):
    used = []
    fit = training.fit

    def noting(model, data, train, validation, *rest, **named):
        used.append((train, validation))
        return fit(model, data, train, validation, *rest, **named)

    monkeypatch.setattr(training, "fit", noting)
    train_model(quick_recipe("--fusion.strategy", "none"), tmp_path / "model", cache=tone_cache)
    ((train, validation),) = used
    speakers = [
        {experiment.manifest.utterances[i].speaker for i in part} for part in (train, validation)
    ]
    assert speakers[0].isdisjoint(speakers[1])
    assert sorted(train + validation) == list(range(24))
