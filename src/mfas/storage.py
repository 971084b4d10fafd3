"""Files that are either whole or absent: atomic writes, hashes, and one format for tensors.

Everything that mfas saves goes through here: text, JSON and CSV in UTF-8, tensors as safetensors
(never pickle). A write goes to a temporary file beside the target, reaches the disk, and then takes
the target's name, so an interrupt or a full disk never leaves half a file.
"""

import csv
import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mfas.errors import RunError

SPARE_BYTES = 2**20  # a disk that cannot take so much more is full


def holds_begun_work(out: Path, resume: bool) -> bool:
    """Whether the folder `out` holds something to go on from; False if it is free.

    Raises `RunError` if it is a file, or holds something and `resume` was not asked for.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not out.is_dir():
        raise RunError(f"{out}: is a file; name a folder with --out")
    if not resume:
        raise RunError(f"{out}: is not empty; add --resume to go on, or name another --out")
    return True


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the target's folder; it replaces `target` if the block succeeds.

    An `OSError` of the writing names `target`, and a full disk is one whichever library met it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_beside(target)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except Exception as error:
        _name_target(error, temporary, target)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`; it becomes `target` if the block succeeds.

    `target` must not exist, or be an empty folder.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        error.filename = str(error.filename).replace(str(temporary), str(target))
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_beside(target: Path) -> Path:
    """A new empty file with the permissions that the user's umask gives any new file."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        error.filename = str(target)
        raise
    return temporary


def _name_target(error: Exception, temporary: Path, target: Path) -> None:
    """Make an `OSError` about the temporary file one about `target`; raise one if the disk is full.

    numpy, libsndfile and safetensors tell of a full disk without its error number.
    """
    if isinstance(error, OSError) and error.errno is not None:
        if error.filename is None or Path(error.filename) == temporary:
            error.filename, error.filename2 = str(target), None
        return
    try:
        with temporary.open("ab") as more:
            more.write(bytes(SPARE_BYTES))
            more.flush()
            os.fsync(more.fileno())
    except OSError as full:
        raise OSError(full.errno, full.strerror, str(target)) from error


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target`, whole or not at all."""
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write `content` to `target` in UTF-8, whole or not at all."""
    write_bytes(target, content.encode("utf-8"))


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON. NaN is refused: a missing number is null."""
    write_text(target, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_csv(target: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows` as CSV with a header; keys that are not in `columns` are refused."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(target, buffer.getvalue())


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header, as one dict a row."""
    with Path(path).open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def sha256_of_bytes(content: bytes) -> str:
    """Hex SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks."""
    with Path(path).open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def sha256_of_json(content: Any) -> str:
    """Hex SHA-256 of the canonical JSON of `content`: sorted keys, no spaces."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256_of_bytes(canonical.encode("utf-8"))
