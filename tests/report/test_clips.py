"""A clip is linked where its file lies, and nowhere else is anything said of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mfas.report import read_run, write_report
from mfas.report.clips import clips
from mfas.report.run import Run
from mfas.storage import write_text

RunFolder = Callable[..., Path]


@pytest.fixture
def run_of(run_folder: RunFolder, tmp_path: Path) -> Callable[..., Run]:
    """A run whose recipe names a manifest; its folder holds the given recordings."""

    def make(*recordings: str, manifest: str = "corpus/manifest.csv", recipe: str = "") -> Run:
        for name in ("manifest.csv", *recordings):
            path = tmp_path / "corpus" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        folder = run_folder(folds=1)
        named = str(tmp_path / manifest)
        write_text(folder / "recipe.toml", recipe or f"[corpus]\nmanifest = {named!r}\n")
        return read_run(folder)

    return make


def test_a_recording_is_looked_for_beside_the_manifest(run_of, tmp_path):
    run = run_of("wav/a b#1.wav")
    (address,) = clips(run, ["wav/a b#1.wav", "wav/gone.wav"]).values()
    assert address == f"{(tmp_path / 'corpus').resolve().as_uri()}/wav/a%20b%231.wav"
    absolute = str(tmp_path / "corpus" / "wav" / "a b#1.wav")
    assert clips(run, [absolute]) == {absolute: address}


def test_a_part_of_a_recording_keeps_its_times(run_of, tmp_path):
    run = run_of("call.wav", "odd#t=3.wav")
    start = (tmp_path / "corpus").resolve().as_uri()
    assert clips(run, ["call.wav#t=1.5,3.25", "call.wav#t=0,2", "call.wav#t=7.5"]) == {
        "call.wav#t=1.5,3.25": f"{start}/call.wav#t=1.5,3.25",
        "call.wav#t=0,2": f"{start}/call.wav#t=0,2",
        "call.wav#t=7.5": f"{start}/call.wav#t=7.5",
    }
    assert clips(run, ["odd#t=3.wav"]) == {"odd#t=3.wav": f"{start}/odd%23t%3D3.wav"}


def test_a_manifest_is_named_from_where_the_run_was_started(run_of, tmp_path, monkeypatch):
    run = run_of("a.wav", recipe='[corpus]\nmanifest = "corpus/manifest.csv"\n')
    assert clips(run, ["a.wav"]) == {}
    monkeypatch.chdir(tmp_path)
    assert list(clips(run, ["a.wav"])) == ["a.wav"]


@pytest.mark.parametrize(
    "recipe",
    ["not toml [", "corpus = 3", "[corpus]\nmanifest = 3", "[corpus]\n", 'manifest = "m.csv"'],
)
def test_a_recipe_that_names_no_manifest_has_no_clips(run_of, recipe):
    assert clips(run_of("a.wav", recipe=recipe), ["a.wav"]) == {}


def test_names_that_no_file_can_have(run_of):
    assert clips(run_of("a.wav"), ["a\0b.wav", "x" * 5000, "", "wav", "#t=1,2", "."]) == {}
    assert clips(run_of("a.wav", manifest="corpus/m\0.csv", recipe=""), ["a.wav"]) == {}


def test_the_page_plays_what_is_here_and_says_where(run_of, tmp_path):
    target = tmp_path / "page.html"
    run = run_of()
    write_report([run.folder], target)
    without = target.read_text(encoding="utf-8")
    assert "<audio" not in without
    assert "this machine" not in without
    assert "Hardest utterances" in without
    hardest = [row.file for row in run.predictions if row.label != row.predicted]
    run = run_of(*hardest)
    write_report([run.folder], target)
    page = target.read_text(encoding="utf-8")
    assert page.count('<audio controls preload="none" src="file:///') == min(10, len(hardest))
    assert "Clips play on this machine only" in page
    assert "base64" not in page
    assert ".listen, .screen { display: none; }" in page[page.index("@media print") :]
