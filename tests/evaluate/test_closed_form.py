"""A cross-validation whose head is solved in closed form: honest, repeatable, blind to test labels."""

import json
from dataclasses import replace

import pytest

import mfas.evaluate.fold as fold_module
from mfas.corpora import make_folds
from mfas.evaluate import cross_validate, train_model, training, verify_run
from mfas.evaluate.experiment import prepare_experiment, read_corpus
from mfas.evaluate.fold import FoldJob, run_fold
from mfas.fusion import distinct_candidates
from mfas.model import load_model
from mfas.recognize import Recognizer
from mfas.search import SEARCHERS
from mfas.storage import read_csv, read_json
from mfas.train import closed_form, utterance_log_probabilities

CLOSED = ("--head.kind", "ridge", "--search.method", "exhaustive", "--evaluate.split", "groups:2")
FEW = (*CLOSED, "--search.method", "random", "--search.samples", "2")
FIXED = ("--fusion.strategy", "last:sum")
ADAPTED = ("--evaluate.condition", "adapted")


def lines_of(run):
    """The log without clocks."""
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [line | {"time": 0, "seconds": 0} for line in lines]


def predictions(run):
    return (run / "predictions.csv").read_bytes()


@pytest.fixture(scope="module")
def solved(tmp_path_factory, quick_recipe, tone_cache):
    """A run that nothing interrupted, with all 19 strategies tried in each fold; only to be read."""
    out = tmp_path_factory.mktemp("solved") / "run"
    cross_validate(quick_recipe(*CLOSED), out, cache=tone_cache)
    return out


@pytest.fixture(scope="module")
def short(tmp_path_factory, quick_recipe):
    """The same with two strategies tried, started with an empty cache; only to be read."""
    out = tmp_path_factory.mktemp("short") / "run"
    cross_validate(quick_recipe(*FEW), out, cache=tmp_path_factory.mktemp("empty"))
    return out


@pytest.fixture(scope="module")
def closed_experiment(quick_recipe, tone_cache):
    """`closed_experiment("--fusion.strategy", "last:sum")`: with the closed-form head."""

    def make(*overrides):
        recipe = quick_recipe(*FEW, *overrides)
        return prepare_experiment(recipe, read_corpus(recipe), tone_cache)

    return make


def test_the_run_is_honest_and_holds_up(solved):
    result = read_json(solved / "result.json")
    assert (result["honest"], result["condition"], result["leaks"]) == (True, "plain", [])
    assert result["n_utterances"] == 24
    assert [fold["fold"] for fold in result["folds"]] == ["01", "02"]
    assert verify_run(solved) == []
    assert {path.name for path in solved.iterdir()} >= {"report.html", "figures"}


def test_every_fold_takes_the_strategy_that_scores_best(solved):
    strategies = read_json(solved / "strategies.json")
    assert [found["fold"] for found in strategies] == ["01", "02"]
    for found in strategies:
        assert set(found["scores"]) == {str(candidate) for candidate in distinct_candidates()}
        taken = f"{found['strategy']['level']}:{found['strategy']['operation']}"
        assert found["scores"][taken] == max(found["scores"].values())
        assert found["weights"] is None


def test_the_log_has_what_was_chosen_once_a_candidate_and_once_a_fold(solved):
    lines = lines_of(solved)
    for fold in ("01", "02"):
        stages = [line["stage"] for line in lines if line["fold"] == fold]
        assert (stages.count("search"), stages.count("train")) == (19, 1)
    assert all(line["epoch"] == 0 for line in lines)
    assert all(line["penalty"] > 0 and line["temperature"] > 0 for line in lines)


def test_two_processes_and_a_full_cache_give_the_same(
    short, quick_recipe, tone_cache, tmp_path, no_pictures
):
    """What was pooled before, or by the process beside, is what this one would have pooled."""
    for workers in ("1", "2"):
        recipe = quick_recipe(*FEW, "--evaluate.workers", workers)
        cross_validate(recipe, tmp_path / workers, cache=tone_cache)
        assert predictions(tmp_path / workers) == predictions(short)


class Interrupted(Exception):  # noqa: N818
    """Stands for a kill."""


@pytest.mark.parametrize("stage", ["search", "train"])
def test_an_interrupted_run_goes_on_to_the_same_result(
    stage, short, quick_recipe, tone_cache, tmp_path, monkeypatch, no_pictures
):
    class Log(fold_module._Log):
        def __call__(self, facts):
            super().__call__(facts)
            if self.common == {"fold": "02", "stage": stage}:
                raise Interrupted

    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(fold_module, "_Log", Log)
        cross_validate(quick_recipe(*FEW), out, cache=tone_cache)
    assert not (out / "result.json").exists()
    searched, search = [], SEARCHERS["random"]

    def noting(problem):
        searched.append(problem)
        return search(problem)

    monkeypatch.setitem(SEARCHERS, "random", noting)
    result = cross_validate(quick_recipe(*FEW), out, resume=True, cache=tone_cache)
    assert len(searched) == (1 if stage == "search" else 0), "a strategy that was found is kept"
    assert predictions(out) == predictions(short)
    assert result["ua"] == read_json(short / "result.json")["ua"]
    assert verify_run(out) == []


def test_adapted_runs_say_so_and_predict_otherwise(
    short, quick_recipe, tone_cache, tmp_path, no_pictures
):
    runs = [tmp_path / "first", tmp_path / "second"]
    for out in runs:
        result = cross_validate(quick_recipe(*FEW, *ADAPTED), out, cache=tone_cache)
        assert result["condition"] == "adapted"
        assert read_json(out / "result.json")["condition"] == "adapted"
    assert verify_run(out) == []
    assert predictions(runs[0]) == predictions(runs[1]) != predictions(short)


def strategy_of(outcome):
    return f"{outcome['strategy']['level']}:{outcome['strategy']['operation']}"


def outcome_of(experiment, selection, out, fold=1):
    """Of a fold whose test speaker is left out, as a run would have it."""
    protocol = (experiment.manifest, "lospo", 0, 0.2)
    folds, inner = make_folds(*protocol, selection), make_folds(*protocol, "inner")
    outcome = run_fold(FoldJob(experiment, folds[fold], inner[fold], out))
    return outcome, folds[fold].test


@pytest.mark.parametrize("condition", ["plain", "adapted"])
def test_labels_of_the_test_fold_change_nothing(condition, closed_experiment, tmp_path):
    experiment = closed_experiment("--evaluate.condition", condition)
    outcome, test = outcome_of(experiment, "inner", tmp_path / "true")
    lied = [
        (target + 1) % 3 if utterance in test else target
        for utterance, target in enumerate(experiment.data.targets_U)
    ]
    other = replace(experiment, data=replace(experiment.data, targets_U=tuple(lied)))
    again, _ = outcome_of(other, "inner", tmp_path / "lied")
    assert again["probabilities"] == outcome["probabilities"]
    assert again["search"]["scores"] == outcome["search"]["scores"]
    assert again["strategy"] == outcome["strategy"]
    trained = next(utterance for utterance in range(24) if utterance not in test)
    lied[trained] = (lied[trained] + 1) % 3
    other = replace(experiment, data=replace(experiment.data, targets_U=tuple(lied)))
    third, _ = outcome_of(other, "inner", tmp_path / "otherwise")
    assert third["probabilities"] != outcome["probabilities"], "labels of training do"


@pytest.mark.parametrize("selection", ["inner", "paper"])
def test_it_learns_from_all_speakers_but_the_tested(
    selection, closed_experiment, tmp_path, monkeypatch
):
    """Speakers held out for choices are training speakers: choices are made without them anyway."""
    used, fit = [], fold_module.fit

    def noting(model, data, train, validation, *rest):
        used.append((train, validation))
        return fit(model, data, train, validation, *rest)

    monkeypatch.setattr(fold_module, "fit", noting)
    stamped = ("--evaluate.selection", selection, "--evaluate.allow_optimistic", "true")
    _, test = outcome_of(closed_experiment(*FIXED, *stamped), selection, tmp_path)
    (train, validation), *_ = used
    assert sorted([*train, *test]) == list(range(24))
    assert tuple(validation) == ((), test)[selection == "paper"]


def test_chosen_on_the_test_fold_the_score_is_the_best_of_all_penalties(
    closed_experiment, tmp_path, monkeypatch
):
    """Which is what makes it optimistic; the strategy is searched on training speakers still."""
    stamped = ("--evaluate.selection", "paper", "--evaluate.allow_optimistic", "true")
    experiment = closed_experiment(*stamped)
    outcome, _ = outcome_of(experiment, "paper", tmp_path / "all")
    honest, _ = outcome_of(closed_experiment(), "inner", tmp_path / "honest")
    assert outcome["strategy"] == honest["strategy"]
    assert outcome["search"]["scores"] == honest["search"]["scores"]
    each = []
    for penalty in closed_form.PENALTIES:
        with monkeypatch.context() as patch:
            patch.setattr(closed_form, "PENALTIES", (penalty,))
            fixed = closed_experiment(*stamped, "--fusion.strategy", strategy_of(honest))
            alone, _ = outcome_of(fixed, "paper", tmp_path / str(penalty))
        each.append(alone["validation"]["ua"])
    assert outcome["validation"]["ua"] == max(each)


def test_sessions_are_left_out_whole_where_sessions_are_tested(closed_experiment):
    by_session = closed_experiment("--evaluate.split", "loso").data
    sessions = {"ann": "one", "bob": "one", "cid": "two", "dot": "three"}
    assert by_session.groups == tuple(sessions[name] for name in by_session.speakers)
    assert closed_experiment().data.groups == by_session.speakers


@pytest.mark.parametrize(
    "overrides",
    [
        ("--sec.encoder", "none"),
        ("--tec.encoder", "none"),
        ("--fusion.strategy", "none", "--evaluate.split", "loso"),
        ("--fusion.strategy", "middle:ism", "--head.context_seconds", "3"),
        (*FIXED, "--evaluate.split", "kfold10", "--evaluate.allow_optimistic", "true"),
    ],
)
def test_other_closed_form_models_run_too(
    overrides, quick_recipe, tone_cache, tmp_path, no_pictures
):
    result = cross_validate(quick_recipe(*FEW, *overrides), tmp_path / "run", cache=tone_cache)
    assert result["honest"] == ("kfold10" not in overrides)
    assert verify_run(tmp_path / "run") == []


@pytest.mark.parametrize("overrides", [(), (*FIXED, *ADAPTED)])
def test_a_model_for_use_learns_from_everyone_for_both_conditions(
    overrides, quick_recipe, tone_corpus, tone_cache, tmp_path, monkeypatch
):
    used, fit = [], training.fit

    def noting(model, data, train, validation, *rest, **named):
        result = fit(model, data, train, validation, *rest, **named)
        used.append((train, validation, utterance_log_probabilities(model, data, range(24))))
        return result

    monkeypatch.setattr(training, "fit", noting)
    result = train_model(quick_recipe(*FEW, *overrides), tmp_path / "model", cache=tone_cache)
    ((train, validation, opinions_UK),) = used
    assert sorted([*train, *validation]) == list(train) == list(range(24))
    model, card = load_model(tmp_path / "model")
    assert model.head.plain.solved
    assert model.head.adapted.solved
    assert card.validation_ua == result.best.ua
    recognizer = Recognizer.from_pretrained(tmp_path / "model")
    assert recognizer.can_adapt
    files = [row["file"] for row in read_csv(tone_corpus)]
    for file in ("ann/calm0.wav", "dot/tense1.wav"):
        prediction = recognizer.predict(tone_corpus.parent / file)
        expected_K = opinions_UK[files.index(file)].exp().tolist()
        assert list(prediction.probabilities.values()) == pytest.approx(expected_K, abs=1e-3)
