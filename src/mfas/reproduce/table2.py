"""Table 2 of MFAS (arXiv 2306.09361, section 4): nine objectives, one architecture, the same probes.

Speech to pretrain on and manifests of emotional corpora enter; table2.json, a page and a figure
leave. Each of the nine encoders is pretrained into a folder of its own and probed on every corpus; the
same command goes on where it was interrupted. A configuration that collapses is a row that says so.

    pretrain/<configuration>/            what `mfas pretrain` leaves
    probes/<configuration>-<corpus>.json what the probes found
    table2.json report.html table2.png   everything together, at the end
"""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mfas.config import (
    PretrainRecipe,
    parse_values,
    recipe_to_toml,
)
from mfas.corpora import Manifest, read_manifest
from mfas.encoders import SpeechEncoder, TransformerEncoder
from mfas.errors import FailedError, RecipeError, RunError
from mfas.evaluate.pooling import pool_corpus, pool_log_mel
from mfas.evaluate.probe import table2_probe
from mfas.pretrain import pretrain, start_encoder
from mfas.pretrain.journal import LOG
from mfas.report import write_table2
from mfas.reproduce.configurations import CONFIGURATIONS, PRINTED, Configuration
from mfas.storage import read_json, sha256_of_json, write_json

RANDOM, LOG_MEL = "random weights", "log-mel"
CURVE_POINTS = 200  # of a log, in the page
Progress = Callable[[str, int, int], None]  # what, done, total


def table2_recipe(speech: Path, steps: int, overrides: Sequence[str] = ()) -> PretrainRecipe:
    """What the nine runs share. Schedule and batch are a choice: the paper does not print its own."""
    values = {
        "name": "table2",
        "speech": {"manifest": str(speech), "crop_seconds": [1.5, 2.0, 3.0]},
        "encoder": {"size": "table1"},
        "optimize": {
            "updates": steps,
            "batch_seconds": 24,
            "warmup": 0.1,
            "log_every": 5,
            "checkpoint_every": 50,
        },
    }
    return parse_values(PretrainRecipe, values, overrides, origin="table2")


def reproduce_table2(
    common: PretrainRecipe,
    corpora: Sequence[Path],
    out: Path,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Do what is missing of the table in the folder `out`; returns what table2.json holds.

    Raises `RunError` if `out` was begun with another recipe, and the errors of reading recipes,
    manifests and audio.
    """
    if not corpora:
        raise RecipeError("table2: no corpus given; name manifests with --corpora")
    manifests = _manifests(corpora)
    _check_folder(out, common, manifests)
    total = len(CONFIGURATIONS)
    rows = []
    for done, configuration in enumerate(CONFIGURATIONS):
        progress(f"table 2: {configuration.name}", done, total)
        rows.append(_row(configuration, common, manifests, out, progress))
    progress("table 2: baselines", total, total)
    table = {
        "recipe": common.model_dump(mode="json"),
        "corpora": {name: _described(manifest) for name, manifest in manifests.items()},
        "rows": rows,
        "baselines": _baselines(common, manifests, out),
        "printed": _printed(),
    }
    write_json(out / "table2.json", table)
    write_table2(out)
    return table


def _row(
    configuration: Configuration,
    common: PretrainRecipe,
    manifests: dict[str, Manifest],
    out: Path,
    progress: Progress,
) -> dict[str, Any]:
    """Pretrain and probe one configuration."""
    folder = out / "pretrain" / configuration.slug
    row: dict[str, Any] = {"name": configuration.name, "centres": configuration.centres}
    try:
        result = pretrain(configuration.recipe(common), folder, resume=True, progress=progress)
    except FailedError as error:
        return row | {"failed": str(error), "log": _curve(folder), "probes": {}}
    encoder = TransformerEncoder.load(folder).freeze()
    probes = {
        name: _probed(encoder, manifest, out / "probes" / f"{configuration.slug}-{name}.json")
        for name, manifest in manifests.items()
    }
    return row | {"failed": None, "result": result, "log": _curve(folder), "probes": probes}


def _baselines(
    common: PretrainRecipe, manifests: dict[str, Manifest], out: Path
) -> list[dict[str, Any]]:
    """The same probes on what was not pretrained."""
    encoder = start_encoder(common.encoder, "continuous", common.seed, RANDOM).freeze()
    rows = []
    for name, slug, probed in (
        (RANDOM, "random", encoder),
        (LOG_MEL, "logmel", None),
    ):
        probes = {
            corpus: _probed(probed, manifest, out / "probes" / f"{slug}-{corpus}.json")
            for corpus, manifest in manifests.items()
        }
        rows.append({"name": name, "centres": None, "probes": probes})
    return rows


def _probed(encoder: SpeechEncoder | None, manifest: Manifest, path: Path) -> dict[str, Any]:
    """What `path` holds, or the probes' findings, which then are written there."""
    if not path.exists():
        pooled = pool_log_mel(manifest) if encoder is None else pool_corpus(encoder, manifest)
        write_json(path, table2_probe(pooled, manifest))
    return dict(read_json(path))


def _manifests(corpora: Sequence[Path]) -> dict[str, Manifest]:
    """The corpora by their files' names, which name them in the table."""
    manifests = {Path(path).stem: read_manifest(path) for path in corpora}
    if len(manifests) < len(corpora):
        raise RecipeError("table2: two manifests of the same name; rename one of the files")
    return manifests


def _check_folder(out: Path, common: PretrainRecipe, manifests: dict[str, Manifest]) -> None:
    """Raise `RunError` unless `out` is free or was begun with the same recipe and corpora."""
    content = recipe_to_toml(common)
    corpora = {name: _described(manifest) for name, manifest in manifests.items()}
    begun = {"recipe": content, "corpora": corpora}
    path = out / "begun.json"
    if path.exists():
        if read_json(path) != begun:
            raise RunError(f"{out}: was begun with another recipe or corpora; name another --out")
        return
    if out.exists() and any(out.iterdir()):
        raise RunError(f"{out}: is not empty and holds no table; name another --out")
    write_json(path, begun)


def _described(manifest: Manifest) -> dict[str, Any]:
    return {
        "utterances": len(manifest),
        "speakers": len(manifest.speakers),
        "classes": list(manifest.classes),
        "has_vad": all(u.valence is not None for u in manifest),
        "rows_sha256": sha256_of_json([[u.file, u.speaker, u.label] for u in manifest]),
    }


def _curve(folder: Path) -> list[dict[str, float]]:
    """The log of a run, thinned; what the page draws."""
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    step = -(-len(lines) // CURVE_POINTS)
    kept = ("update", "loss", "perplexity", "target_variance", "prediction_variance", "accuracy")
    return [{key: line[key] for key in kept if key in line} for line in lines[:: max(1, step)]]


def _printed() -> dict[str, dict[str, Any]]:
    return {
        protocol: {name: dataclasses.asdict(printed) for name, printed in rows.items()}
        for protocol, rows in PRINTED.items()
    }
