"""A generated corpus: the same each time, a part of it on request, refused in one line.

Its counts, and that the adapters read it: tests/end_to_end/test_corpora.py.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

TOOL = Path(__file__).parents[2] / "tools" / "generate_corpus.py"


@pytest.fixture(scope="module")
def generate() -> Callable[..., None]:
    spec = importlib.util.spec_from_file_location("generate_corpus", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda *arguments: module.main([str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("corpus", ["savee", "iemocap"])
def test_the_same_arguments_write_the_same_files(corpus, generate, tmp_path):
    small = ("--seconds", 0.05, "--portion", 0.01)
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        generate(corpus, tmp_path / name, *small, "--seed", seed)
    one, again, other = (contents(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one != other
    clips = [sound for name, sound in one.items() if name.endswith(".wav") and "._" not in name]
    assert len(set(clips)) == len(clips) == (28 if corpus == "savee" else 102)


def test_clips_are_sound_that_is_neither_silent_nor_clipped(generate, tmp_path):
    generate("savee", tmp_path / "savee", "--portion", 0.01, "--seconds", 0.3, "--layout", "flat")
    rates, seconds = set(), []
    for path in (tmp_path / "savee").iterdir():
        samples, rate = soundfile.read(path)
        rates.add(rate)
        seconds.append(len(samples) / rate)
        assert 0.01 < np.abs(samples).max() < 1
    assert rates == {44_100}
    assert 0.2 < min(seconds) < max(seconds) < 0.4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--portion", "0"], "a portion up to 1"),
        (["--seconds", "-1"], "give 0.01 to 60 seconds"),
        (["--seconds", "nan"], "give 0.01 to 60 seconds"),
    ],
)
def test_wrong_numbers_are_refused_in_a_line(options, said, generate, tmp_path):
    with pytest.raises(SystemExit, match=said):
        generate("savee", tmp_path / "savee", *options)
    assert not (tmp_path / "savee").exists()


def test_nothing_is_written_over(generate, tmp_path):
    (tmp_path / "mine.txt").touch()
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(SystemExit, match="is not an empty folder; name another"):
            generate("iemocap", place)
    assert contents(tmp_path) == {"mine.txt": b""}
