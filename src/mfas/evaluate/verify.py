"""Does a run folder say what its predictions say? Every score and every hash is computed again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfas.config import Recipe, read_recipe
from mfas.corpora import Fold, Manifest, Utterance, find_leaks
from mfas.errors import RunError
from mfas.evaluate.protocol import corpus_sha256
from mfas.evaluate.run_folder import HASHED
from mfas.evaluate.scores import Row, score_rows
from mfas.storage import read_csv, read_json, sha256_of_file, sha256_of_json

TOLERANCE = 1e-9
PARTS = ("train", "validation", "test")  # of a fold, in the order of `Fold`


def verify_run(run: Path) -> list[str]:
    """What does not hold in the run folder `run`, one line each; empty if everything does.

    Raises `RunError` if `run` is not a run folder, or a part of it cannot be read at all.
    """
    if not (run / "result.json").is_file():
        raise RunError(
            f"{run}: no finished run (no result.json); run or resume mfas crossval first"
        )
    missing = [f"{name}: is missing" for name in HASHED if not (run / name).is_file()]
    if missing:
        return missing
    try:
        result = read_json(run / "result.json")
        recipe = read_recipe(run / "recipe.toml")
        folds = read_json(run / "folds.json")
        rows = _read_rows(run, result)
        return [
            *_hash_faults(run, result, folds),
            *_prediction_faults(run, rows, folds),
            *_score_faults(result, rows, recipe),
            *_fold_faults(run, result, folds),
            *_honesty_faults(run, result, recipe, folds),
        ]
    except (KeyError, TypeError, AttributeError, OSError, ValueError) as error:
        fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"{run}: a part of the run cannot be read ({fault}); run it again"
        ) from error


def _read_rows(run: Path, result: dict[str, Any]) -> list[Row]:
    return [
        Row(
            line["fold"],
            line["file"],
            line["speaker"],
            line["label"],
            {name: float(line[f"p_{name}"]) for name in result["classes"]},
        )
        for line in read_csv(run / "predictions.csv")
    ]


def _hash_faults(run: Path, result: dict[str, Any], folds: Any) -> Iterator[str]:
    for name, recorded in result["files"].items():
        path = run / name
        if not path.is_file():
            yield f"{name}: is missing"
        elif sha256_of_file(path) != recorded:
            yield f"{name}: has changed since the run (hash differs)"
    for required in HASHED:
        if required not in result["files"]:
            yield f"{required}: result.json records no hash of it"
    if corpus_sha256(read_csv(run / "utterances.csv")) != result["manifest_sha256"]:
        yield "utterances.csv: does not match manifest_sha256"
    if sha256_of_json(folds) != result["folds_sha256"]:
        yield "folds.json: does not match folds_sha256"


def _prediction_faults(run: Path, rows: list[Row], folds: Any) -> Iterator[str]:
    for row, line in zip(rows, read_csv(run / "predictions.csv"), strict=True):
        if line["predicted"] != row.predicted:
            yield (
                f"predictions.csv: {row.file} is predicted {line['predicted']}, "
                f"but its largest probability is {row.predicted}'s"
            )
        if abs(sum(row.probabilities.values()) - 1) > 1e-6:
            yield f"predictions.csv: the probabilities of {row.file} do not sum to 1"
    tested = [(row.fold, row.file) for row in rows]
    expected = [(fold["fold"], file) for fold in folds for file in fold["test"]]
    if tested != expected:
        yield "predictions.csv: its rows are not the test utterances of folds.json"
    known = {line["name"]: line for line in read_csv(run / "utterances.csv")}
    for row in rows:
        utterance = known.get(row.file, {})
        if (utterance.get("label"), utterance.get("speaker")) != (row.label, row.speaker):
            yield f"predictions.csv: label or speaker of {row.file} is not that of utterances.csv"


def _score_faults(result: dict[str, Any], rows: list[Row], recipe: Recipe) -> Iterator[str]:
    scores = score_rows(rows, result["classes"], recipe.evaluate.bootstrap, recipe.seed)
    for name, computed in scores.items():
        if name == "folds":
            for recorded, again in zip(result["folds"], computed, strict=True):
                yield from (
                    f"result.json: {key} of fold {again['fold']} is {recorded[key]}, "
                    f"the predictions give {value}"
                    for key, value in again.items()
                    if not _same(recorded[key], value)
                )
        elif not _same(result[name], computed):
            yield f"result.json: {name} is {result[name]}, the predictions give {computed}"


def _fold_faults(run: Path, result: dict[str, Any], folds: Any) -> Iterator[str]:
    strategies = {found["fold"]: found["strategy"] for found in read_json(run / "strategies.json")}
    for recorded, fold in zip(result["folds"], folds, strict=True):
        if recorded["strategy"] != strategies.get(fold["fold"]):
            yield f"result.json: strategy of fold {fold['fold']} is not that of strategies.json"
        if recorded["test_speakers"] != fold["test_speakers"]:
            yield f"result.json: test speakers of fold {fold['fold']} are not those of folds.json"


def _honesty_faults(run: Path, result: dict[str, Any], recipe: Recipe, folds: Any) -> Iterator[str]:
    """The guard's judgement again, from the utterances and folds that the run recorded."""
    settings = recipe.evaluate
    for key, value in (
        ("protocol", settings.split),
        ("selection", settings.selection),
        ("condition", settings.condition),
    ):
        if result.get(key, "plain") != value:
            yield f"result.json: {key} is not the recipe's"
    lines = read_csv(run / "utterances.csv")
    hash_of = {line["name"]: line["audio_sha256"] for line in lines}
    manifest = Manifest(tuple(map(_utterance, lines)))
    position = {utterance.file: i for i, utterance in enumerate(manifest)}
    cut = [
        Fold(fold["fold"], *(tuple(position[n] for n in fold[part]) for part in PARTS))
        for fold in folds
    ]
    hashes = [hash_of[utterance.file] for utterance in manifest]
    leaks = find_leaks(manifest, cut, settings.split, hashes, recipe.corpus.guard_text)
    if result["honest"] and leaks:
        leak = leaks[0]
        yield f"result.json: says honest, but fold {leak.fold}: {leak.kind} leak, {leak.detail}"
    elif not result["honest"] and not leaks:
        yield "result.json: says optimistic, but nothing leaks"


def _utterance(line: dict[str, str]) -> Utterance:
    """What leaks are judged by; the name stands for the file, so that it tells parts of one apart."""
    session, text = line["session"] or None, line["text"] or None
    path = Path(line["file"])
    return Utterance(line["name"], path, line["speaker"], line["label"], session, text=text)


def _same(recorded: Any, computed: Any) -> bool:
    if isinstance(computed, float) and isinstance(recorded, int | float):
        return abs(recorded - computed) <= TOLERANCE
    if isinstance(computed, list) and isinstance(recorded, list):
        return len(recorded) == len(computed) and all(map(_same, recorded, computed))
    return bool(recorded == computed)
