"""A run folder is read into a `Run` or a `SearchRun`, or refused with one line that says why.

The files must be there, have the fields of `mfas.report.run`, and fit each other: a square
confusion matrix over the classes, weights of levels x operations, predictions of known classes.
Whether the scores follow from the predictions is for `mfas verify`.
"""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mfas.errors import RunError
from mfas.report.run import Conditions, Epoch, Prediction, Result, Run, Search, SearchRun
from mfas.storage import read_csv, read_json

Content = TypeVar("Content")

_CONDITIONS = TypeAdapter(Conditions)
_RESULT = TypeAdapter(Result)
_SEARCHES = TypeAdapter(tuple[Search, ...])
_EPOCHS = TypeAdapter(tuple[Epoch, ...])
_PREDICTIONS = TypeAdapter(tuple[Prediction, ...])
_ENVIRONMENT = TypeAdapter(dict[str, Any])
_TEXT = TypeAdapter(str)
_FIX = "run it again, with --resume to keep the finished folds"


def read_run(folder: Path) -> Run:
    """Read a run folder. Raises `RunError` if a file is missing, broken or contradicts another."""
    folder = _existing(folder)
    result = _read(folder / "result.json", read_json, _RESULT)
    _check_confusion(folder / "result.json", result)
    predictions = _read_predictions(folder / "predictions.csv", result.classes)
    return Run(result=result, predictions=predictions, **_read_search(folder))


def read_search_run(folder: Path) -> SearchRun:
    """Read the folder of a search alone; raises `RunError` as `read_run`."""
    folder = _existing(folder)
    conditions = _read(folder / "search.json", read_json, _CONDITIONS)
    return SearchRun(result=conditions, **_read_search(folder))


def is_search_run(folder: Path) -> bool:
    """Whether `folder` holds a search that no cross-validation has finished."""
    folder = Path(folder)
    return (folder / "search.json").exists() and not (folder / "result.json").exists()


def _existing(folder: Path) -> Path:
    if not Path(folder).is_dir():
        raise RunError(f"{folder}: no such run folder; mfas crossval RECIPE --out writes one")
    return Path(folder)


def _read_search(folder: Path) -> dict[str, Any]:
    """The fields that a search alone and a whole run have in common."""
    searches = _read(folder / "strategies.json", read_json, _SEARCHES)
    _check_weights(folder / "strategies.json", searches)
    return {
        "folder": folder,
        "searches": searches,
        "epochs": _read(folder / "log.jsonl", _read_lines, _EPOCHS),
        "environment": _read(folder / "environment.json", read_json, _ENVIRONMENT),
        "recipe": _read(folder / "recipe.toml", _read_text, _TEXT),
    }


def _read(path: Path, reader: Callable[[Path], Any], shape: TypeAdapter[Content]) -> Content:
    try:
        return shape.validate_python(reader(path))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RunError(f"{path}: missing, the run is not finished; {_FIX}") from error
    except ValidationError as error:
        raise RunError(f"{path}: {_explain(error)}; {_FIX}") from error
    except (ValueError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read ({error}); {_FIX}") from error


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    message = " ".join(first["msg"].split())
    return f"{key}: {message.lower()}" if key else message.lower()


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _read_lines(path: Path) -> list[Any]:
    """One value a line (JSON Lines)."""
    values: list[Any] = []
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON") from error
    return values


def _read_predictions(path: Path, classes: tuple[str, ...]) -> tuple[Prediction, ...]:
    rows = _read(path, read_csv, TypeAdapter(list[dict[str | None, Any]]))
    if not rows:
        raise RunError(f"{path}: holds no predictions; {_FIX}")
    needed = ("fold", "file", "speaker", "label", "predicted", *(f"p_{name}" for name in classes))
    absent = [column for column in needed if column not in rows[0]]
    if absent:
        raise RunError(f"{path}: has no column {absent[0]!r}; {_FIX}")
    for number, row in enumerate(rows, start=2):
        if row["label"] not in classes or row["predicted"] not in classes:
            raise RunError(
                f"{path}: line {number} is labelled {row['label']!r} and predicted "
                f"{row['predicted']!r}, which result.json does not both have as classes; {_FIX}"
            )
    return _read(path, lambda _: [_with_probability(row) for row in rows], _PREDICTIONS)


def _with_probability(row: Mapping[str | None, Any]) -> dict[str | None, Any]:
    return {**row, "probability": row[f"p_{row['predicted']}"]}


def _check_confusion(path: Path, result: Result) -> None:
    size = len(result.classes)
    if len(result.confusion) != size or any(len(row) != size for row in result.confusion):
        raise RunError(f"{path}: confusion is not {size} x {size}, one row a class; {_FIX}")


def _check_weights(path: Path, searches: tuple[Search, ...]) -> None:
    for search in searches:
        shape = [len(search.operations)] * len(search.levels)
        weighed = (
            search.trajectory if search.weights is None else (*search.trajectory, search.weights)
        )
        if any([len(row) for row in found] != shape for found in (*weighed, *search.norms)):
            raise RunError(
                f"{path}: the weights or norms of fold {search.fold} are not {len(search.levels)} x "
                f"{len(search.operations)}, levels x operations; {_FIX}"
            )
