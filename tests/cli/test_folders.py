"""Folders that commands write to and read from: taken, foreign, damaged, full or forbidden."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WRITTEN = ("recipe.toml", "environment.json", "folds.json", "utterances.csv", "predictions.csv")
PARTS = (*WRITTEN, "strategies.json", "log.jsonl", "result.json")
DAMAGES = {
    "missing": None,
    "empty": b"",
    "zeros": b"\0" * 512,
    "not text": b"\xff\xfe\xfd",
    "a list": b"[]",
    "an object": b"{}",
    "a number": b"3",
    "a header": b"fold,file,speaker,label,predicted,p_calm,p_glad,p_tense\n",
    "half": "half",
}


def damage(path: Path, name: str) -> None:
    content = DAMAGES[name]
    if content is None:
        path.unlink()
    elif content == "half":
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2].rstrip()[:-1])  # never at the end of a line
    else:
        path.write_bytes(content)


@pytest.mark.parametrize("command", ["crossval", "search", "train"])
def test_an_output_that_is_taken(command, refusal, recipe, tmp_path):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "precious.txt").write_text("mine", encoding="utf-8")
    line = refusal(command, recipe, "--out", taken)
    assert line.startswith(f"mfas: {taken}: ")
    assert "not empty; " in line
    assert "name another --out" in line
    line = refusal(command, recipe, "--out", taken / "precious.txt")
    assert line.startswith(f"mfas: {taken / 'precious.txt'}: ")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("crossval", "was started with another recipe; name another --out"),
        ("search", "holds a finished cross-validation, its search too; see its report"),
    ],
)
def test_resuming_something_else(command, said, refusal, recipe, run_folder, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").touch()
    line = refusal(command, recipe, "--out", tmp_path / "other", "--resume")
    assert "holds no run to resume (no recipe.toml); name another --out" in line
    line = refusal(command, recipe, "--out", run_folder, "--resume", "--seed", "7")
    assert line == f"mfas: {run_folder}: {said}"


def test_resuming_a_finished_run_shows_it_again(mfas, recipe, run_folder):
    before = (run_folder / "predictions.csv").read_bytes()
    outcome = mfas("crossval", recipe, "--out", run_folder, "--resume")
    assert (outcome.code, outcome.err) == (0, [])
    assert f"report: {run_folder / 'report.html'}" in outcome.out
    assert (run_folder / "predictions.csv").read_bytes() == before
    assert mfas("verify", run_folder).code == 0


def test_a_search_alone_leaves_its_evidence(mfas, recipe, tmp_path):
    out = tmp_path / "search"
    outcome = mfas(
        *("search", recipe, "--out", out, "--fusion.strategy", "search"),
        *("--search.epochs", "1", "--evaluate.split", "groups:2"),
    )
    assert (outcome.code, outcome.err) == (0, [])
    strategies = json.loads((out / "strategies.json").read_text(encoding="utf-8"))
    assert [found["fold"] for found in strategies] == ["01", "02"]
    for found in strategies:
        assert ":".join(found["strategy"].values()) in outcome.out
        assert [len(row) for row in found["weights"]] == [8, 8, 8]


def test_verify_and_report_of_what_is_no_run(refusal, tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        assert f"{folder}: no finished run (no result.json)" in refusal("verify", folder)
    assert f"{tmp_path / 'gone'}: no such run folder" in refusal("report", tmp_path / "gone")
    assert f"{tmp_path / 'result.json'}: missing" in refusal("report", tmp_path)


def test_a_whole_run_verifies(mfas, run_folder):
    outcome = mfas("verify", run_folder)
    assert (outcome.code, outcome.err) == (0, [])


def test_every_byte_of_a_run_counts(mfas, run_folder):
    changed = 0
    for path in (*(run_folder / name for name in WRITTEN), *run_folder.glob("figures/*")):
        content = path.read_bytes()
        path.write_bytes(content + b"\n")
        outcome = mfas("verify", run_folder)
        assert outcome.code == 1
        assert f"{path.relative_to(run_folder)}: has changed since the run" in outcome.out
        assert len(outcome.err) == 1
        assert outcome.err[0].startswith(f"mfas: {run_folder}: faults found: ")
        path.write_bytes(content)
        changed += 1
    assert changed > len(WRITTEN)
    assert mfas("verify", run_folder).code == 0


@pytest.mark.parametrize("name", PARTS)
def test_a_damaged_run_never_verifies(name, mfas, run_folder, everything_below):
    whole = (run_folder / name).read_bytes()
    for kind in DAMAGES:
        damage(run_folder / name, kind)
        before = everything_below(run_folder)
        outcome = mfas("verify", run_folder)
        assert outcome.code in (1, 2), kind
        assert len(outcome.err) == 1, kind
        assert outcome.err[0].startswith(f"mfas: {run_folder}"), (kind, outcome.err)
        assert everything_below(run_folder) == before
        (run_folder / name).write_bytes(whole)


@pytest.mark.parametrize(
    "name", ["result.json", "strategies.json", "predictions.csv", "log.jsonl", "environment.json"]
)
def test_a_damaged_run_is_not_reported(name, refusal, run_folder):
    harmless = {("strategies.json", "a list"), ("environment.json", "an object")}
    harmless |= {("log.jsonl", "empty"), ("predictions.csv", "half")}  # verify sees the latter
    for kind in DAMAGES:
        if (name, kind) in harmless:
            continue
        whole = (run_folder / name).read_bytes()
        damage(run_folder / name, kind)
        assert refusal("report", run_folder).startswith(f"mfas: {run_folder / name}: ")
        (run_folder / name).write_bytes(whole)


def test_a_report_of_two_runs(mfas, run_folder, finished, tmp_path):
    page = tmp_path / "pages" / "both.html"
    outcome = mfas("report", run_folder, finished[0], "-o", page)
    assert (outcome.code, outcome.err) == (0, [])
    assert outcome.out == f"{page}\n"
    content = page.read_text(encoding="utf-8")
    assert content.startswith("<!")
    assert "<li>No difference shown: quick (" in content
    assert "is +0.0 points of UA, 95 % interval [0.0, 0.0]." in content


@pytest.fixture
def savee(tmp_path):
    """A command that writes a manifest, over one that is there."""
    (tmp_path / "DC").mkdir()
    (tmp_path / "DC" / "a01.wav").touch()
    (tmp_path / "out.csv").write_text("precious", encoding="utf-8")
    return "corpus", "savee", tmp_path, "-o", tmp_path / "out.csv"


@pytest.fixture
def full_disk(monkeypatch):
    """No write reaches the disk."""

    def refuse(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mfas.storage.os.fsync", refuse)


def test_a_full_disk_leaves_the_old_manifest(refusal, savee, full_disk):
    assert refusal(*savee, code=1) == (
        f"mfas: {savee[-1]}: no space left; free some, then run it again "
        "(pretrain, crossval and search: with --resume)"
    )


def test_a_full_disk_leaves_the_old_report(refusal, run_folder, full_disk):
    assert f"{run_folder / 'report.html'}: no space left" in refusal("report", run_folder, code=1)


@pytest.mark.parametrize("command", ["crossval", "train"])
def test_a_full_disk_stops_a_run_and_leaves_no_part_of_a_file(
    command, mfas, recipe, finished, full_disk, tmp_path
):
    out = tmp_path / "out"
    outcome = mfas(command, recipe, "--out", out)
    assert outcome.code == 1
    assert len(outcome.err) == 1
    assert outcome.err[0].startswith(f"mfas: {out}/")
    assert "no space left" in outcome.err[0]
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_a_run_that_filled_the_disk_goes_on_with_resume(
    mfas, recipe, finished, tmp_path, monkeypatch
):
    out = tmp_path / "run"
    sync = os.fsync

    def fill_up(descriptor):
        if list(out.glob("folds/*/outcome.json")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr("mfas.storage.os.fsync", fill_up)
        outcome = mfas("crossval", recipe, "--out", out)
    assert outcome.code == 1
    assert "no space left" in outcome.err[0]
    assert list(out.glob("folds/*/outcome.json"))
    assert not (out / "result.json").exists()
    assert mfas("crossval", recipe, "--out", out, "--resume").code == 0
    expected = (finished[0] / "predictions.csv").read_bytes()
    assert (out / "predictions.csv").read_bytes() == expected


TINY_DISK = """
mount -t tmpfs -o size=200k tmpfs disk || exit 99
"$1" -m mfas corpus synthetic disk/corpus --voices 2 --sentences 3 -o c.csv
echo "code $?"
find disk -name '.*' -type f
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
def test_a_disk_that_is_truly_full(tmp_path):
    pytest.importorskip("espeakng_loader")
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", TINY_DISK, "sh", sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 99 or "code" not in done.stdout:
        pytest.skip("may not mount a small disk here")
    assert done.stdout == "code 1\n"
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"mfas: {tmp_path / 'disk' / 'corpus'}/")
    assert ".wav: no space left; free some" in done.stderr
    assert not (tmp_path / "c.csv").exists()


def test_a_folder_in_the_place_of_a_file(refusal, savee, tmp_path):
    (tmp_path / "folder.csv").mkdir()
    line = refusal(*savee[:-1], tmp_path / "folder.csv")
    assert line.startswith(f"mfas: {tmp_path / 'folder.csv'}: is a directory; name another path")


def test_a_file_in_the_place_of_a_folder(refusal, savee, recipe, tmp_path):
    line = refusal(*savee[:-1], savee[-1] / "m.csv")
    assert line.startswith(f"mfas: {savee[-1]}: ")
    line = refusal("crossval", recipe, "--out", savee[-1] / "run")
    assert line.startswith(f"mfas: {savee[-1]}")
    assert "not a directory" in line


def test_a_folder_that_may_not_be_written(refusal, savee, monkeypatch):
    create = os.open

    def forbid(path, flags, mode=0o777, **options):
        if Path(path).name.startswith(f".{Path(savee[-1]).name}."):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return create(path, flags, mode, **options)

    monkeypatch.setattr(os, "open", forbid)
    assert refusal(*savee).startswith(f"mfas: {savee[-1]}: permission denied; name another path")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_truly_may_not_be_written(refusal, savee, recipe, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    line = refusal(*savee[:-1], locked / "m.csv")
    assert line.startswith(f"mfas: {locked / 'm.csv'}: permission denied")
    line = refusal("crossval", recipe, "--out", locked / "run")
    assert line.startswith(f"mfas: {locked / 'run'}: permission denied")
