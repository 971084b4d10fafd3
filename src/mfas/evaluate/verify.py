"""Does a run folder say what its predictions say? Every score and every hash is computed again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mfas.config import Recipe, read_recipe
from mfas.errors import RunError
from mfas.evaluate.scores import Row, score_rows
from mfas.storage import read_csv, read_json, sha256_of_file, sha256_of_json

TOLERANCE = 1e-9


def verify_run(run: Path) -> list[str]:
    """What does not hold in the run folder `run`, one line each; empty if everything does.

    Raises `RunError` if `run` is not a run folder, or a part of it cannot be read at all.
    """
    if not (run / "result.json").is_file():
        raise RunError(f"{run}: no finished run (no result.json); run or resume mfas crossval first")
    try:
        result = read_json(run / "result.json")
        recipe = read_recipe(run / "recipe.toml")
        folds = read_json(run / "folds.json")
        rows = _read_rows(run, result)
        return [
            *_hash_faults(run, result, folds),
            *_prediction_faults(run, rows, folds),
            *_score_faults(result, rows, recipe),
            *_honesty_faults(result, recipe, folds),
        ]
    except (KeyError, TypeError, AttributeError, OSError, ValueError) as error:
        fault = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(f"{run}: a part of the run cannot be read ({fault}); run it again") from error


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
    for required in ("predictions.csv", "recipe.toml", "folds.json", "strategies.json"):
        if required not in result["files"]:
            yield f"{required}: result.json records no hash of it"
    if sha256_of_file(run / "utterances.csv") != result["manifest_sha256"]:
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


def _honesty_faults(result: dict[str, Any], recipe: Recipe, folds: Any) -> Iterator[str]:
    if result["protocol"] != recipe.evaluate.split or result["selection"] != recipe.evaluate.selection:
        yield "result.json: protocol or selection is not the recipe's"
    leaky = [
        fold["fold"]
        for fold in folds
        if set(fold["test"]) & (set(fold["train"]) | set(fold["validation"]))
        or set(fold["test_speakers"])
        & (set(fold["train_speakers"]) | set(fold["validation_speakers"]))
    ]
    if result["honest"] and leaky:
        yield f"result.json: says honest, but folds {', '.join(leaky)} share speakers with training"


def _same(recorded: Any, computed: Any) -> bool:
    if isinstance(computed, float) and isinstance(recorded, int | float):
        return abs(recorded - computed) <= TOLERANCE
    if isinstance(computed, list) and isinstance(recorded, list):
        return len(recorded) == len(computed) and all(map(_same, recorded, computed))
    return bool(recorded == computed)
