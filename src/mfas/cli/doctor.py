"""`mfas doctor`: what this machine offers, what is missing, and how to get it."""

import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from rich.table import Table

from mfas.encoders import default_cache_folder
from mfas.jobs import default_workers
from mfas.recognize.recognizer import DEFAULT_MODEL

PACKAGES = (
    "mfas",
    "torch",
    "transformers",
    "accelerate",
    "librosa",
    "soundfile",
    "soxr",
    "numpy",
    "scikit-learn",
)
EXTRAS = {"demo": ("espeakng_loader", "the synthetic corpus and mfas demo")}


def examine() -> Table:
    """One row for each thing that matters."""
    table = Table(show_header=False, title="mfas doctor", title_justify="left")
    table.add_row("python", platform.python_version())
    for package in PACKAGES:
        table.add_row(package, _version(package))
    table.add_row("CPU cores", str(default_workers()))
    table.add_row("GPU", _gpu())
    table.add_row("cache", str(default_cache_folder()))
    weights = "found" if (DEFAULT_MODEL / "config.json").is_file() else "missing; name --model"
    table.add_row("default model", weights)
    for extra, (module, purpose) in EXTRAS.items():
        found = "installed" if find_spec(module) else f"missing; pip install 'mfas[{extra}]'"
        table.add_row(f"extra {extra} ({purpose})", found)
    return table


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return f"missing; pip install {package}"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none that torch can use; everything runs on the CPU"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
