import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from mfas.evaluate import cross_validate, run_folder
from mfas.storage import read_csv, write_csv

Row = Mapping[str, str]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, quick_recipe: Any, tone_cache: Path) -> Path:
    """A run that nothing interrupted: one speaker a fold, DARTS in each. Change only copies."""
    out = tmp_path_factory.mktemp("finished") / "run"
    cross_validate(quick_recipe(), out, cache=tone_cache)
    return out


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    def copy(run: Path) -> Path:
        return shutil.copytree(run, tmp_path / "copy")

    return copy


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures out of runs that are not about them: they take longest."""
    monkeypatch.setattr(run_folder, "write_figures", lambda out: [])
    monkeypatch.setattr(run_folder, "write_report", lambda runs, out: None)


@pytest.fixture
def manifest_of(tone_corpus: Path, tmp_path: Path) -> Callable[..., Path]:
    """The tone corpus with other rows: `manifest_of(change)`; `change(row)` gives a row or None."""

    def write(change: Callable[[dict[str, str]], Row | None]) -> Path:
        rows = [
            changed
            for row in read_csv(tone_corpus)
            if (changed := change(row | {"file": str(tone_corpus.parent / row["file"])}))
        ]
        columns = list(dict.fromkeys(key for row in rows for key in row))
        write_csv(tmp_path / "changed.csv", columns, rows)
        return tmp_path / "changed.csv"

    return write
