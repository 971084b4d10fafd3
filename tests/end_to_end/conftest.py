"""`python -m mfas` in processes of its own, and corpora in the shape of their releases."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

GENERATOR = Path(__file__).parents[2] / "tools" / "generate_corpus.py"


@pytest.fixture(scope="session")
def generate_corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Run tools/generate_corpus.py: `generate_corpus("savee", "--layout", "flat")` is the folder."""
    spec = importlib.util.spec_from_file_location("generate_corpus", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def generate(name: str, *options: str) -> Path:
        folder = tmp_path_factory.mktemp(name) / "release"
        module.main([name, str(folder), *options])
        return folder

    return generate


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """One cache for all processes."""
    return os.environ | {"MFAS_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def mfas(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command, which must succeed and say nothing on standard error but notes."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "mfas", *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if not line.startswith("note: ")] == []
        return done

    return run
