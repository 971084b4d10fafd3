"""`mfas` as a function of its arguments, and something to give it: a recipe, a run, a model."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mfas.cli import main

QUICK = """
name = "quick"

[corpus]
manifest = {manifest!r}

[fusion]
dim = 16
strategy = "last:sum"

[train]
epochs = 1
batch = 8
device = "cpu"

[evaluate]
workers = 1
bootstrap = 100
"""


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, standard output, lines of standard error."""

    code: int
    out: str
    err: list[str]

    @property
    def complaints(self) -> list[str]:
        return [line for line in self.err if not line.startswith("note: ")]


@pytest.fixture(autouse=True)
def own_cache(tone_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFAS_CACHE", str(tone_cache))


@pytest.fixture
def mfas(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return Outcome(code, captured.out, captured.err.splitlines())

    return run


@pytest.fixture
def refusal(mfas: Callable[..., Outcome], tmp_path: Path) -> Callable[..., str]:
    """Run a command that must fail with one line, which is returned, and change nothing."""

    def run(*arguments: str | Path, code: int = 2) -> str:
        before = contents(tmp_path)
        outcome = mfas(*arguments)
        assert contents(tmp_path) == before
        assert outcome.code == code, outcome
        assert len(outcome.complaints) == 1, outcome.err
        line = outcome.complaints[0]
        assert line.startswith("mfas: ")
        assert "internal error" not in line
        return line

    return run


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder: files with their bytes, folders with None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def everything_below() -> Callable[[Path], dict[str, bytes | None]]:
    return contents


@pytest.fixture
def make_recipe(tone_corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a recipe that runs in seconds, on the tone corpus unless a manifest is given."""

    def write(manifest: Path = tone_corpus) -> Path:
        return _write(tmp_path / "quick.toml", manifest)

    return write


@pytest.fixture
def recipe(make_recipe: Callable[..., Path]) -> Path:
    return make_recipe()


def _write(path: Path, manifest: Path) -> Path:
    path.write_text(QUICK.format(manifest=str(manifest)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def finished(
    tone_corpus: Path, tone_cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Path]]:
    """A run, and a model with random encoders, which the commands made; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    recipe = str(_write(folder / "quick.toml", tone_corpus))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MFAS_CACHE", str(tone_cache))
        random = ["--sec.encoder", "compact", "--tec.encoder", "compact"]
        assert main(["crossval", recipe, "--out", str(folder / "run")]) == 0
        assert main(["train", recipe, "--out", str(folder / "model"), *random]) == 0
    yield folder / "run", folder / "model"


@pytest.fixture
def run_folder(finished: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the run."""
    return shutil.copytree(finished[0], tmp_path / "run")


@pytest.fixture
def model(finished: tuple[Path, Path]) -> Path:
    return finished[1]


@pytest.fixture
def model_copy(model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model, tmp_path / "model")


@pytest.fixture
def make_manifest(tmp_path: Path) -> Callable[..., Path]:
    """Write a manifest of rows "file,speaker,label"."""

    def write(*rows: str, header: str = "file,speaker,label") -> Path:
        path = tmp_path / "manifest.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return write


@pytest.fixture
def clips(tmp_path: Path, voice: Callable[..., np.ndarray]) -> Callable[..., list[str]]:
    """Write short clips, one for each "speaker label", and return their manifest rows."""

    def write(*described: str) -> list[str]:
        rows = []
        for number, (speaker, label) in enumerate(map(str.split, described)):
            soundfile.write(tmp_path / f"{number}.wav", voice(8_000, seed=number), 16_000)
            rows.append(f"{number}.wav,{speaker},{label}")
        return rows

    return write
