"""Files are whole or absent."""

import errno
import hashlib
import json
import math
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfas.storage import (
    atomic_path,
    read_csv,
    read_json,
    sha256_of_bytes,
    sha256_of_file,
    sha256_of_json,
    write_bytes,
    write_csv,
    write_json,
    write_text,
)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
finite = scalars.filter(lambda value: not (isinstance(value, float) and math.isinf(value)))
documents = st.recursive(
    finite,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_block_that_succeeds_replaces_the_file(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    for content in ("old", "new"):
        with atomic_path(target) as temporary:
            assert temporary.parent == target.parent
            temporary.write_text(content)
        assert target.read_text() == content
    assert files(target.parent) == ["a.txt"]


def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half of the ne")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert files(tmp_path) == ["a.txt"]


def test_a_block_that_raises_makes_no_file(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.txt"):
        raise ZeroDivisionError
    assert files(tmp_path) == []


def test_a_target_that_is_a_folder_leaves_nothing_behind(tmp_path):
    (tmp_path / "a" / "full").mkdir(parents=True)
    with pytest.raises(OSError):
        write_text(tmp_path / "a", "text")
    assert files(tmp_path) == ["a"]


def test_an_error_of_the_writing_names_the_target(tmp_path):
    with pytest.raises(OSError) as raised, atomic_path(tmp_path / "a.npy") as temporary:
        raise OSError(errno.EIO, "broken disk", str(temporary))
    assert raised.value.filename == str(tmp_path / "a.npy")
    with pytest.raises(OSError) as raised, atomic_path(tmp_path / "a.npy"):
        raise FileNotFoundError(errno.ENOENT, "no such file", "another")
    assert raised.value.filename == "another"
    assert files(tmp_path) == []


def test_a_full_disk_is_told_from_other_errors(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match="not about disks"), atomic_path(tmp_path / "a"):
        raise RuntimeError("not about disks")

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as raised, atomic_path(tmp_path / "a"):
        raise RuntimeError("a library that hides the error number")
    assert raised.value.filename == str(tmp_path / "a")
    assert files(tmp_path) == []


def test_others_may_read_what_is_written(tmp_path):
    (tmp_path / "usual").touch()
    write_text(tmp_path / "ours", "text")
    usual, ours = ((tmp_path / name).stat().st_mode for name in ("usual", "ours"))
    assert stat.filemode(ours) == stat.filemode(usual)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("documents")


@given(documents)
def test_json_and_back(folder, document):
    write_json(folder / "a.json", document)
    assert read_json(folder / "a.json") == document


def test_json_is_readable_utf_8(tmp_path):
    write_json(tmp_path / "a.json", {"emotion": "Überraschung"})
    assert (tmp_path / "a.json").read_bytes() == '{\n  "emotion": "Überraschung"\n}\n'.encode()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_json_without_a_number_is_refused(number, tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "a.json", {"ua": number})
    assert read_json(tmp_path / "a.json") == [1]
    with pytest.raises(ValueError, match="JSON compliant"):
        sha256_of_json({"ua": number})


@given(st.lists(st.fixed_dictionaries({"a": st.text(), "b,": st.text()}), max_size=4))
def test_csv_and_back(folder, rows):
    clean = [{k: v.replace("\r", "").replace("\0", "") for k, v in row.items()} for row in rows]
    write_csv(folder / "a.csv", ["a", "b,"], clean)
    assert read_csv(folder / "a.csv") == clean


def test_csv_with_a_column_that_was_not_declared_is_refused(tmp_path):
    with pytest.raises(ValueError, match="extra"):
        write_csv(tmp_path / "a.csv", ["file"], [{"file": "x", "extra": 1}])
    assert files(tmp_path) == []


def test_csv_of_a_spreadsheet_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.csv").write_text("file,label\r\nx.wav,sad\r\n", encoding="utf-8-sig")
    assert read_csv(tmp_path / "a.csv") == [{"file": "x.wav", "label": "sad"}]


@given(st.binary(max_size=200))
def test_hashes_are_sha_256(folder, content):
    write_bytes(folder / "a", content)
    expected = hashlib.sha256(content).hexdigest()
    assert sha256_of_file(folder / "a") == sha256_of_bytes(content) == expected


def test_a_known_hash():
    assert sha256_of_bytes(b"abc").startswith("ba7816bf8f01cfea414140de5dae2223")
    assert sha256_of_json({"b": [1, None], "a": "ä"}) == sha256_of_bytes(
        json.dumps({"a": "ä", "b": [1, None]}, separators=(",", ":")).encode()
    )


@given(st.dictionaries(st.text(), finite, min_size=2, max_size=5))
def test_the_hash_of_json_is_blind_to_order_and_sees_values(document):
    turned = dict(reversed(document.items()))
    assert sha256_of_json(turned) == sha256_of_json(document)
    key = next(iter(document))
    assert sha256_of_json(document | {key: [document[key]]}) != sha256_of_json(document)
