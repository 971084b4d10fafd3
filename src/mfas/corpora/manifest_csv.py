"""A manifest as a CSV file: UTF-8, with a header, one row an utterance.

Columns `file,speaker,label` are required; `session,valence,arousal,dominance,text,gender,start,end`
are optional, others are ignored. `file` is relative to the manifest or absolute; `file_name`
(Hugging Face audiofolder) is accepted for it.
"""

import csv
import io
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mfas.corpora.labels import nearest
from mfas.corpora.manifest import Manifest, Utterance
from mfas.errors import ManifestError
from mfas.storage import write_csv

REQUIRED_COLUMNS = ("file", "speaker", "label")
UNLABELLED_COLUMNS = ("file", "speaker")
NUMBER_COLUMNS = ("valence", "arousal", "dominance", "start", "end")
OPTIONAL_COLUMNS = (
    *("session", "valence", "arousal", "dominance"),
    *("text", "gender", "start", "end"),
)
_SURPLUS = "\0"  # key of the cells that a row has beyond the header
_MOST_FOLDERS_UP = 2  # a longer "../../.." is less clear than the absolute path


def read_manifest(path: str | Path, labelled: bool = True) -> Manifest:
    """Read a manifest. Whether its audio exists is `check_manifest`'s question.

    Without `labelled`, rows need no label (speech for pretraining); it is "" then.

    Raises `ManifestError` for a missing or empty file, a missing column, an empty file, speaker or
    label, a number that is none, start >= end, and two rows for the same part of one file.
    """
    path = Path(path)
    folder = path.parent.resolve()
    utterances: list[Utterance] = []
    lines: dict[tuple[Path, float | None, float | None], int] = {}
    required = REQUIRED_COLUMNS if labelled else UNLABELLED_COLUMNS
    for line, row in _rows(path, required):
        utterance = _utterance(row, folder, f"{path}: line {line}", required)
        earlier = lines.setdefault((utterance.path, utterance.start, utterance.end), line)
        if earlier != line:
            raise ManifestError(
                f"{path}: line {line}: {utterance.file} is already on line {earlier}; "
                "keep one of them"
            )
        utterances.append(utterance)
    if not utterances:
        raise ManifestError(f"{path}: has a header but no rows; add one row per recording")
    return Manifest(tuple(utterances), path=path)


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest, with the optional columns that some utterance fills.

    Files are written relative to the manifest's folder where they lie in it or at most two folders
    up, else absolute.
    """
    path = Path(path)
    used = [c for c in OPTIONAL_COLUMNS if any(getattr(u, c) is not None for u in manifest)]
    columns = [*REQUIRED_COLUMNS, *used]
    folder = path.parent.resolve()
    real = {parent: parent.resolve() for parent in {u.path.parent for u in manifest}}
    rows = (
        {column: getattr(u, column) for column in columns}
        | {"file": _spelling(real[u.path.parent] / u.path.name, folder)}
        for u in manifest
    )
    write_csv(path, columns, rows)


def _spelling(file: Path, folder: Path) -> str:
    """`file` as seen from `folder` if that is short, else absolute. Both are resolved."""
    relative = Path(os.path.relpath(file, folder))
    if relative.parts.count("..") > _MOST_FOLDERS_UP or len(relative.parts) > len(file.parts):
        return file.as_posix()
    return relative.as_posix()


def _rows(path: Path, required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, stripped cells by column); the header is checked first."""
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), restkey=_SURPLUS, strict=True)
    try:
        header = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = ["file" if _is_alias(c, header) else c for c in header]
        _require_columns(path, reader.fieldnames, required)
        for row in reader:
            if row.pop(_SURPLUS, None):
                raise ManifestError(
                    f"{path}: line {reader.line_num}: has more cells than the header; "
                    'put text that holds a comma into "double quotes"'
                )
            yield reader.line_num, {key: (cell or "").strip() for key, cell in row.items()}
    except csv.Error as error:
        raise ManifestError(
            f"{path}: line {reader.line_num + 1}: not valid CSV ({error}); export it as CSV again"
        ) from error


def _is_alias(column: str, header: list[str]) -> bool:
    return column == "file_name" and "file" not in header


def _text(path: Path) -> str:
    if path.is_dir():
        raise ManifestError(
            f"{path}: is a folder; name the manifest in it, or make one with mfas corpus"
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such manifest; make one with mfas corpus") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: not UTF-8 text; export it as CSV in UTF-8") from error


def _require_columns(path: Path, header: list[str], required: Sequence[str]) -> None:
    if not any(header):
        raise ManifestError(f"{path}: empty; the first line must be {','.join(required)}")
    missing = [column for column in required if column not in header]
    if missing:
        raise ManifestError(
            f"{path}: no column {', '.join(missing)} in its header ({','.join(header)[:80]}); "
            f"{_header_fix(missing[0], header, required)}"
        )
    twice = next((column for column in header if column and header.count(column) > 1), None)
    if twice is not None:
        raise ManifestError(f"{path}: column {twice!r} is there twice; rename one of them")


def _header_fix(missing: str, header: list[str], required: Sequence[str]) -> str:
    if len(header) == 1 and any(separator in header[0] for separator in ";\t|"):
        return "separate the columns by commas"
    near = nearest(missing, header)
    renamed = f" or rename {near}" if near else ""
    return f"add it{renamed}: {','.join(required)} are required"


def _utterance(
    row: Mapping[str, str], folder: Path, place: str, required: Sequence[str]
) -> Utterance:
    for column in required:
        if not row[column]:
            raise ManifestError(f"{place}: {column} is empty; fill it in or delete the row")
    numbers = {c: _number(row[c], f"{place}: {c}") for c in NUMBER_COLUMNS if row.get(c)}
    start, end = numbers.get("start", 0.0), numbers.get("end", math.inf)
    if not 0 <= start < end:
        raise ManifestError(f"{place}: start {start:g} s, end {end:g} s; give 0 <= start < end")
    return Utterance(
        file=row["file"],
        path=Path(os.path.normpath(folder / row["file"])),
        speaker=row["speaker"],
        label=row.get("label", ""),
        session=row.get("session") or None,
        text=row.get("text") or None,
        gender=row.get("gender") or None,
        **numbers,
    )


def _number(cell: str, place: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ManifestError(f"{place} is {cell!r}, not a number; correct or empty it")
    return number
