"""A cross-validation writes what the contract says, repeats itself exactly, and goes on after a stop."""

import json
import shutil

import pytest

import mfas.evaluate.fold as fold_module
from mfas.config import Recipe
from mfas.corpora import make_folds
from mfas.encoders import save_random_huggingface
from mfas.errors import ManifestError, ModelError, RecipeError, RunError
from mfas.evaluate import cross_validate, crossval, search_folds, verify_run
from mfas.evaluate.experiment import prepare_experiment, read_corpus
from mfas.evaluate.fold import FoldJob, run_fold
from mfas.fusion import LEVELS, Strategy
from mfas.fusion.strategy import OPERATION_NAMES
from mfas.search import SEARCHERS
from mfas.storage import read_csv, read_json
from mfas.train import Features

SPEAKERS = ["ann", "bob", "cid", "dot"]
TWO_FOLDS = ("--evaluate.split", "groups:2")
NO_SEARCH = ("--fusion.strategy", "last:sum", "--train.epochs", "1")


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def strategies_of(run):
    return [found | {"seconds": 0} for found in read_json(run / "strategies.json")]


def test_the_run_folder_has_what_the_contract_names(finished):
    assert {path.name for path in finished.iterdir()} == {
        "recipe.toml",
        "environment.json",
        "folds.json",
        "utterances.csv",
        "predictions.csv",
        "strategies.json",
        "result.json",
        "report.html",
        "figures",
        "log.jsonl",
        "folds",
    }
    figures = list((finished / "figures").iterdir())
    assert figures
    assert all(figure.read_bytes().startswith(b"\x89PNG") for figure in figures)
    assert not list(finished.rglob("*.safetensors")), "checkpoints of finished folds are removed"


def test_the_result_has_every_key_of_the_contract(finished):
    result = read_json(finished / "result.json")
    assert result.keys() >= {
        *("protocol", "selection", "honest", "n_utterances", "classes", "ua", "wa", "macro_f1"),
        *("ua_ci95", "wa_ci95", "folds", "confusion", "seeds", "manifest_sha256"),
        *("folds_sha256", "seconds", "peak_rss_mb"),
    }
    for fold in result["folds"]:
        assert fold.keys() >= {"fold", "test_speakers", "n", "ua", "wa", "strategy"}
    assert (result["protocol"], result["selection"], result["honest"]) == ("lospo", "inner", True)
    assert result["n_utterances"] == sum(map(sum, result["confusion"])) == 24
    assert result["classes"] == ["calm", "glad", "tense"]
    assert [fold["test_speakers"] for fold in result["folds"]] == [[name] for name in SPEAKERS]
    assert result["ua_ci95"][0] <= result["ua"] <= result["ua_ci95"][1]
    assert result["seeds"] == [0]
    assert result["peak_rss_mb"] > 50


def test_untrained_encoders_are_admitted(finished):
    result = read_json(finished / "result.json")
    assert [note[:15] for note in result["notes"]] == ["The SEC encoder", "The TEC encoder"]
    assert all("untrained" in note for note in result["notes"])
    assert result["encoders"]["sec"]["trained"] is False


def test_every_utterance_is_predicted_once_in_the_order_of_the_folds(finished):
    rows = read_csv(finished / "predictions.csv")
    columns = ["fold", "file", "speaker", "label", "predicted", "p_calm", "p_glad", "p_tense"]
    assert list(rows[0]) == columns
    folds = read_json(finished / "folds.json")
    assert [(row["fold"], row["file"]) for row in rows] == [
        (fold["fold"], file) for fold in folds for file in fold["test"]
    ]
    utterances = {line["name"]: line for line in read_csv(finished / "utterances.csv")}
    assert sorted(utterances) == sorted(row["file"] for row in rows)
    for row in rows:
        probabilities = {name: float(row[f"p_{name}"]) for name in ("calm", "glad", "tense")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-9)
        assert row["predicted"] == max(probabilities, key=probabilities.get)
        assert row["label"] == utterances[row["file"]]["label"]


def test_strategies_say_what_was_found_and_why(finished):
    strategies = read_json(finished / "strategies.json")
    result = read_json(finished / "result.json")
    assert [found["fold"] for found in strategies] == [fold["fold"] for fold in result["folds"]]
    for found, fold in zip(strategies, result["folds"], strict=True):
        assert found["strategy"] == fold["strategy"]
        assert found["strategy"]["level"] in ("first", "middle", "last")
        assert found["strategy"]["operation"] in OPERATION_NAMES
        assert (found["levels"], found["operations"]) == (list(LEVELS), list(OPERATION_NAMES))
        assert [len(row) for row in found["weights"]] == [8, 8, 8]
        assert [sum(row) for row in found["weights"]] == pytest.approx([1, 1, 1])
        assert len(found["scores"]) == 24
        assert len(found["trajectory"]) == 1


def test_the_log_has_every_epoch_of_every_fold_once(finished):
    epochs = [(x["fold"], x["stage"], x["epoch"]) for x in lines_of(finished / "log.jsonl")]
    assert sorted(epochs) == sorted(
        (name, stage, epoch)
        for name in SPEAKERS
        for stage, epoch in (("search", 0), ("train", 0), ("train", 1))
    )


def test_a_run_folder_names_no_place_of_this_machine(finished, tone_corpus):
    for name in ("utterances.csv", "predictions.csv", "folds.json", "strategies.json"):
        assert str(tone_corpus.parent) not in (finished / name).read_text(), name


def test_tested_speakers_neither_train_nor_choose(finished):
    for fold in read_json(finished / "folds.json"):
        tested = set(fold["test_speakers"])
        assert tested.isdisjoint(fold["train_speakers"])
        assert tested.isdisjoint(fold["validation_speakers"])
        assert set(fold["train_speakers"]).isdisjoint(fold["validation_speakers"])
        assert tested | {*fold["train_speakers"], *fold["validation_speakers"]} == set(SPEAKERS)


def test_test_utterances_are_read_only_when_everything_is_chosen(experiment, tmp_path, monkeypatch):
    fold = make_folds(experiment.manifest, "lospo", 0, 0.2, "inner")[1]
    chosen_before, read = set(), Features.batch
    predict, predicted = fold_module.utterance_log_probabilities, []

    def recording(self, chosen):
        if not predicted:
            chosen_before.update(u for u, _ in chosen)
        return read(self, chosen)

    def last(model, data, utterances, *rest):
        predicted.append(utterances)
        return predict(model, data, utterances, *rest)

    monkeypatch.setattr(Features, "batch", recording)
    monkeypatch.setattr(fold_module, "utterance_log_probabilities", last)
    outcome = run_fold(FoldJob(experiment, fold, fold, tmp_path))
    assert chosen_before == {*fold.train, *fold.validation}
    assert predicted == [fold.test]
    assert len(outcome["probabilities"]) == len(fold.test)


def test_two_processes_give_what_one_gives(
    quick_recipe, finished, tone_cache, tmp_path, no_pictures
):
    told = []
    cross_validate(
        quick_recipe("--evaluate.workers", "2"),
        tmp_path / "run",
        cache=tone_cache,
        progress=lambda *facts: told.append(facts),
    )
    for name in ("predictions.csv", "folds.json", "utterances.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (finished / name).read_bytes(), name
    assert strategies_of(tmp_path / "run") == strategies_of(finished)
    assert {what for what, _, _ in told if what.startswith("fold")} == {
        f"folds: {s} done" for s in SPEAKERS
    }
    assert told[-1][1:] == (4, 4)


def test_another_seed_gives_other_predictions(quick_recipe, tone_cache, tmp_path, no_pictures):
    runs = []
    for seed in ("0", "1"):
        recipe = quick_recipe(*TWO_FOLDS, *NO_SEARCH, "--seed", seed)
        cross_validate(recipe, tmp_path / seed, cache=tone_cache)
        runs.append({row["file"]: row for row in read_csv(tmp_path / seed / "predictions.csv")})
    assert runs[0].keys() == runs[1].keys()
    assert any(runs[0][file]["p_calm"] != runs[1][file]["p_calm"] for file in runs[0])


class Interrupted(Exception):  # noqa: N818
    """Stands for a kill."""


def stop(job):
    raise Interrupted


def interrupt_at(fold, monkeypatch):
    """Make the training of `fold` stop in its second epoch."""

    class Log(fold_module._Log):
        def __call__(self, facts):
            super().__call__(facts)
            if (self.common["fold"], self.common["stage"], facts["epoch"]) == (fold, "train", 1):
                raise Interrupted

    monkeypatch.setattr(fold_module, "_Log", Log)


def test_an_interrupted_run_goes_on_to_the_same_result(
    quick_recipe, finished, tone_cache, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_at("cid", patch)
        cross_validate(quick_recipe(), out, cache=tone_cache)
    assert not (out / "result.json").exists()
    with (out / "folds" / "02" / "log.jsonl").open("a") as log:
        log.write('{"time": 17')  # what a full disk leaves of a line
    assert (out / "folds" / "01" / "outcome.json").exists()
    searched, search = [], SEARCHERS["darts"]

    def noting(problem):
        searched.append(problem)
        return search(problem)

    monkeypatch.setitem(SEARCHERS, "darts", noting)
    cross_validate(quick_recipe(), out, resume=True, cache=tone_cache)
    assert len(searched) == 1, "only the last fold is left to search"
    for name in ("predictions.csv", "folds.json", "utterances.csv"):
        assert (out / name).read_bytes() == (finished / name).read_bytes(), name
    assert strategies_of(out) == strategies_of(finished)

    def timeless(path):
        return [line | {"time": 0, "seconds": 0} for line in lines_of(path)]

    assert timeless(out / "log.jsonl") == timeless(finished / "log.jsonl")
    assert verify_run(out) == []


def test_a_finished_run_resumes_to_itself(
    finished, copied, quick_recipe, tone_cache, monkeypatch, no_pictures
):
    run = copied(finished)
    monkeypatch.setattr(fold_module, "fit", None)
    cross_validate(quick_recipe(), run, resume=True, cache=tone_cache)
    assert (run / "predictions.csv").read_bytes() == (finished / "predictions.csv").read_bytes()


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_another_run_is_never_overwritten(finished, copied, quick_recipe, tone_cache):
    run = copied(finished)
    before = contents(run)
    with pytest.raises(RunError, match="is not empty; add --resume to go on"):
        cross_validate(quick_recipe(), run, cache=tone_cache)
    with pytest.raises(RunError, match="was started with another recipe; name another --out"):
        cross_validate(quick_recipe("--train.lr", "0.5"), run, resume=True, cache=tone_cache)
    with pytest.raises(RunError, match=r"is a file; name a folder with --out"):
        cross_validate(quick_recipe(), run / "result.json", cache=tone_cache)
    with pytest.raises(RunError, match=r"holds no run to resume \(no recipe.toml\)"):
        cross_validate(quick_recipe(), run / "figures", resume=True, cache=tone_cache)
    assert contents(run) == before


def test_a_free_folder_may_exist(quick_recipe, tone_cache, tmp_path, no_pictures):
    out = tmp_path / "a" / "run"
    out.mkdir(parents=True)
    cross_validate(quick_recipe(*TWO_FOLDS, *NO_SEARCH), out, cache=tone_cache)
    assert (out / "result.json").exists()


@pytest.mark.parametrize("change", ["a label", "a speaker", "the audio", "a row"])
def test_a_changed_manifest_does_not_resume(
    quick_recipe, manifest_of, tone_corpus, tone_cache, tmp_path, monkeypatch, change
):
    last, own = tone_corpus.parent / "dot" / "tense1.wav", tmp_path / "own.wav"
    shutil.copy(last, own)

    def with_own(row, **changed):
        return row | {"file": str(own), **changed} if row["file"] == str(last) else row

    recipe = quick_recipe(*TWO_FOLDS, *NO_SEARCH, manifest=manifest_of(with_own))
    out = tmp_path / "run"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(crossval, "run_fold", stop)
        cross_validate(recipe, out, cache=tone_cache)
    if change == "a label":
        manifest_of(lambda row: with_own(row, label="glad"))
    elif change == "a speaker":
        manifest_of(lambda row: with_own(row, speaker="cid"))
    elif change == "a row":
        manifest_of(lambda row: None if row["file"] == str(last) else row)
    else:
        shutil.copy(tone_corpus.parent / "dot" / "tense0.wav", own)
    before = contents(out)
    with pytest.raises(RunError, match="the manifest has changed since it was started"):
        cross_validate(recipe, out, resume=True, cache=tone_cache)
    assert contents(out) == before


def test_a_search_alone_is_taken_up_by_a_cross_validation(
    quick_recipe, tone_cache, tmp_path, monkeypatch, no_pictures
):
    recipe, out = quick_recipe(*TWO_FOLDS, "--train.epochs", "1"), tmp_path / "run"
    strategies = search_folds(recipe, out, cache=tone_cache)
    assert strategies == read_json(out / "strategies.json")
    assert [found["fold"] for found in strategies] == ["01", "02"]
    assert not (out / "predictions.csv").exists()
    assert {line["stage"] for line in lines_of(out / "log.jsonl")} == {"search"}
    monkeypatch.setitem(SEARCHERS, "darts", None)
    result = cross_validate(recipe, out, resume=True, cache=tone_cache)
    assert read_json(out / "strategies.json") == strategies
    assert [fold["strategy"] for fold in result["folds"]] == [s["strategy"] for s in strategies]
    assert {line["stage"] for line in lines_of(out / "log.jsonl")} == {"search", "train"}


@pytest.mark.parametrize(
    ("overrides", "strategy", "streams"),
    [
        (("--sec.encoder", "none"), None, 1),
        (("--tec.encoder", "none"), None, 1),
        (("--fusion.strategy", "none"), None, 2),
        (("--fusion.strategy", "last:ism"), Strategy("last", "ism"), 2),
        (("--search.method", "random", "--search.samples", "1"), "any", 2),
    ],
)
def test_other_models_run_too(
    quick_recipe, tone_cache, tmp_path, no_pictures, overrides, strategy, streams
):
    recipe = quick_recipe(*TWO_FOLDS, "--train.epochs", "1", *overrides)
    result = cross_validate(recipe, tmp_path / "run", cache=tone_cache)
    strategies = read_json(tmp_path / "run" / "strategies.json")
    assert len(result["notes"]) == streams
    if strategy is None:
        assert strategies == []
        assert [fold["strategy"] for fold in result["folds"]] == [None, None]
    else:
        found = [entry["strategy"] for entry in strategies]
        assert [fold["strategy"] for fold in result["folds"]] == found
        assert strategy in ("any", Strategy(**found[0]))
    assert verify_run(tmp_path / "run") == []


def test_sessions_are_left_out_whole(quick_recipe, tone_cache, tmp_path, no_pictures):
    recipe = quick_recipe("--evaluate.split", "loso", *NO_SEARCH)
    result = cross_validate(recipe, tmp_path / "run", cache=tone_cache)
    assert result["honest"] is True
    assert {fold["fold"]: fold["test_speakers"] for fold in result["folds"]} == {
        "one": ["ann", "bob"],
        "two": ["cid"],
        "three": ["dot"],
    }


def test_parts_of_one_file_are_utterances(
    quick_recipe, manifest_of, tone_cache, tmp_path, no_pictures
):
    """A recording of everything, cut by the manifest: named as parts, verified as such."""

    def halves(row):
        return row | ({"end": "0.4"} if row["file"].endswith("0.wav") else {"start": "0.1"})

    recipe = quick_recipe(*TWO_FOLDS, *NO_SEARCH, manifest=manifest_of(halves))
    result = cross_validate(recipe, tmp_path / "run", cache=tone_cache)
    assert result["n_utterances"] == 24
    names = [row["file"] for row in read_csv(tmp_path / "run" / "predictions.csv")]
    assert {name.rpartition("#")[2] for name in names} == {"t=0,0.4", "t=0.1"}
    assert verify_run(tmp_path / "run") == []


def test_classes_are_merged_and_kept_in_the_order_of_the_recipe(
    quick_recipe, tone_cache, tmp_path, no_pictures
):
    recipe = quick_recipe(
        *TWO_FOLDS,
        *NO_SEARCH,
        *("--corpus.merge", '{glad = "lively", tense = "lively"}'),
        *("--corpus.classes", '["lively", "calm"]'),
    )
    result = cross_validate(recipe, tmp_path / "run", cache=tone_cache)
    assert result["classes"] == ["lively", "calm"]
    assert [sum(row) for row in result["confusion"]] == [16, 8]


def test_a_fine_tuned_encoder_runs_a_fold_the_same_way_twice(quick_recipe, tone_cache, tmp_path):
    save_random_huggingface("data2vec-audio", tmp_path / "encoder", seed=0, size="tiny")
    encoder = ("--sec.encoder", str(tmp_path / "encoder"), "--sec.finetune", "true")
    recipe = quick_recipe(*NO_SEARCH, *encoder)
    tuned = prepare_experiment(recipe, read_corpus(recipe), tone_cache)
    fold = make_folds(tuned.manifest, "groups:2", 0, 0.2, "inner")[0]
    first, second = (
        run_fold(FoldJob(tuned, fold, fold, tmp_path / name)) for name in ("first", "second")
    )
    assert first["probabilities"] == second["probabilities"]
    assert "fine-tuned on this corpus alone" in tuned.notes()[0]
    assert tuned.encoders["sec"].finetuned


@pytest.mark.parametrize(
    ("change", "overrides", "error", "words"),
    [
        (
            lambda row: None if row["label"] == "tense" and row["speaker"] != "dot" else row,
            (),
            ManifestError,
            "fold dot of lospo: no training utterance of class tense; ",
        ),
        (
            lambda row: row | {"speaker": "ann"},
            (),
            ManifestError,
            "lospo needs at least 2 speakers, there is 1",
        ),
        (
            lambda row: row | {"speaker": "ann"} if row["speaker"] in ("ann", "bob") else None,
            ("--evaluate.split", "loso"),
            ManifestError,
            "loso needs at least 2 sessions, there is 1",
        ),
        (
            lambda row: row if row["label"] == "calm" else None,
            (),
            RecipeError,
            "one class only; recognition needs at least two",
        ),
        (
            lambda row: row,
            ("--corpus.classes", '["calm", "gald"]'),
            ManifestError,
            "gald",
        ),
        (
            lambda row: row,
            ("--corpus.classes", '["calm", "glad", "calm"]'),
            RecipeError,
            "corpus.classes: names calm more than once; ",
        ),
        (
            lambda row: row,
            ("--fusion.strategy", "last:nothing"),
            RecipeError,
            "strategy last:nothing: unknown",
        ),
        (
            lambda row: row,
            ("--sec.encoder", "none", "--tec.encoder", "none"),
            ModelError,
            "name at least one encoder",
        ),
        (
            lambda row: row,
            ("--tec.encoder", "no/such/folder"),
            ModelError,
            "no/such/folder: no such folder",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_made(
    quick_recipe, manifest_of, tone_cache, tmp_path, change, overrides, error, words
):
    recipe = quick_recipe(*overrides, manifest=manifest_of(change))
    with pytest.raises(error) as raised:
        cross_validate(recipe, tmp_path / "run", cache=tone_cache)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_a_recipe_without_a_manifest_says_how_to_give_one(tmp_path):
    with pytest.raises(RecipeError, match=r"corpus\.manifest is not set; give a manifest with"):
        cross_validate(Recipe(), tmp_path / "run")
    assert not (tmp_path / "run").exists()
