"""Table 2 of MFAS (arXiv 2306.09361, section 4): nine objectives, one architecture, the same probes.

Speech to pretrain on and manifests of emotional corpora enter; table2.json, a page and a figure
leave. Each of the nine encoders is pretrained into a folder of its own and probed on every corpus; the
same command goes on where it was interrupted. A configuration that collapses is a row that says so.

    pretrain/<configuration>/            what `mfas pretrain` leaves; failed.json if that is no encoder
    probes/<configuration>-<corpus>.json what the probes found
    table2.json report.html table2.png   everything together, at the end; follows from the others
"""

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mfas.config import PretrainRecipe, parse_values, read_pretrain_recipe, recipe_to_toml
from mfas.corpora import Manifest, read_manifest
from mfas.encoders import SpeechEncoder, TransformerEncoder
from mfas.errors import FailedError, RecipeError
from mfas.evaluate.pooling import pool_corpus, pool_log_mel
from mfas.evaluate.probe import table2_probe
from mfas.evaluate.tables import reading_table, table_faults, write_table
from mfas.pretrain import pretrain, start_encoder
from mfas.pretrain.journal import LOG, RECIPE
from mfas.pretrain.run import RESULT
from mfas.report import write_table2
from mfas.reproduce.begun import BEGUN, begin
from mfas.reproduce.configurations import CONFIGURATIONS, PRINTED, Configuration
from mfas.storage import read_json, sha256_of_json, write_json

TABLE, PAGES = "table2.json", ("report.html", "table2.png", "curves.png")
FORMAT = 1  # of the table: counts up when older ones cannot be checked any more
FAILED = "failed.json"  # beside the log of a configuration that gave no encoder
RANDOM, LOG_MEL = "random weights", "log-mel"
BASELINES = {RANDOM: "random", LOG_MEL: "logmel"}
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
    for done, configuration in enumerate(CONFIGURATIONS):
        progress(f"table 2: {configuration.name}", done, total)
        _run(configuration, common, manifests, out, progress)
    progress("table 2: baselines", total, total)
    _run_baselines(common, manifests, out)
    return write_table(out / TABLE, _table(out), lambda: write_table2(out), _files(out))


def check_table2(out: Path) -> list[str]:
    """What does not hold of the table in `out`, one line each: its encoders, then its numbers.

    Probes are not run again: that takes the corpora. Raises `RunError` if a part cannot be read.
    """
    with reading_table(out / TABLE, FORMAT) as recorded:
        common = _begun_recipe(read_json(out / BEGUN))
        faults = [
            f"pretrain/{configuration.slug}: {fault}"
            for configuration in CONFIGURATIONS
            for fault in _run_faults(
                out / "pretrain" / configuration.slug, configuration.recipe(common)
            )
        ]
        again = _table(out)
        return [*faults, *table_faults(out / TABLE, recorded, again, _files(out))]


def _run_faults(folder: Path, recipe: PretrainRecipe) -> list[str]:
    faults = []
    if read_pretrain_recipe(folder / RECIPE) != recipe:
        faults.append(f"{RECIPE}: is not that of its row")
    if not (folder / FAILED).exists():
        encoder = TransformerEncoder.load(folder)
        if encoder.fingerprint() != read_json(folder / RESULT)["encoder_sha256"]:
            faults.append("model.safetensors: has changed since the run (hash differs)")
    return faults


def _files(out: Path) -> list[str]:
    """What the hashes of the table are of: its pages, and the small files that it is made from."""
    made_from = [out / BEGUN, *sorted((out / "probes").glob("*.json"))]
    for one in CONFIGURATIONS:
        folder = out / "pretrain" / one.slug
        made_from += [folder / LOG, folder / (FAILED if (folder / FAILED).exists() else RESULT)]
    return [*PAGES, *(path.relative_to(out).as_posix() for path in made_from)]


def _run(
    configuration: Configuration,
    common: PretrainRecipe,
    manifests: dict[str, Manifest],
    out: Path,
    progress: Progress,
) -> None:
    """Pretrain and probe one configuration; if it fails, why it did is written beside its log."""
    folder = out / "pretrain" / configuration.slug
    try:
        pretrain(configuration.recipe(common), folder, resume=True, progress=progress)
    except FailedError as error:
        write_json(folder / FAILED, {"failed": str(error)})
        return
    (folder / FAILED).unlink(missing_ok=True)
    encoder = TransformerEncoder.load(folder).freeze()
    for name, manifest in manifests.items():
        _probe(encoder, manifest, _probe_file(out, configuration.slug, name))


def _run_baselines(common: PretrainRecipe, manifests: dict[str, Manifest], out: Path) -> None:
    """The same probes on what was not pretrained."""
    encoder = start_encoder(common.encoder, "continuous", common.seed, RANDOM).freeze()
    for probed, slug in ((encoder, BASELINES[RANDOM]), (None, BASELINES[LOG_MEL])):
        for name, manifest in manifests.items():
            _probe(probed, manifest, _probe_file(out, slug, name))


def _probe(encoder: SpeechEncoder | None, manifest: Manifest, path: Path) -> None:
    """Write the probes' findings to `path`, unless they are there."""
    if not path.exists():
        pooled = pool_log_mel(manifest) if encoder is None else pool_corpus(encoder, manifest)
        write_json(path, table2_probe(pooled, manifest))


def _probe_file(out: Path, slug: str, corpus: str) -> Path:
    return out / "probes" / f"{slug}-{corpus}.json"


def _table(out: Path) -> dict[str, Any]:
    """What table2.json holds, from the files of `out`."""
    begun = read_json(out / BEGUN)
    corpora = begun["corpora"]
    return {
        "format": FORMAT,
        "recipe": _begun_recipe(begun).model_dump(mode="json"),
        "corpora": corpora,
        "rows": [_row(one, out, corpora) for one in CONFIGURATIONS],
        "baselines": [
            {"name": name, "centres": None, "probes": _probes(out, slug, corpora)}
            for name, slug in BASELINES.items()
        ],
        "printed": _printed(),
    }


def _row(configuration: Configuration, out: Path, corpora: Mapping[str, Any]) -> dict[str, Any]:
    folder = out / "pretrain" / configuration.slug
    fault = read_json(folder / FAILED)["failed"] if (folder / FAILED).exists() else None
    row = {
        "name": configuration.name,
        "centres": configuration.centres,
        "failed": fault,
        "log": _curve(folder),
    }
    if fault is not None:
        return row | {"probes": {}}
    probes = _probes(out, configuration.slug, corpora)
    return row | {"result": read_json(folder / RESULT), "probes": probes}


def _probes(out: Path, slug: str, corpora: Mapping[str, Any]) -> dict[str, Any]:
    return {name: read_json(_probe_file(out, slug, name)) for name in corpora}


def _begun_recipe(begun: Mapping[str, Any]) -> PretrainRecipe:
    """What the nine runs of a folder share."""
    return parse_values(PretrainRecipe, tomllib.loads(begun["recipe"]), origin=BEGUN)


def _manifests(corpora: Sequence[Path]) -> dict[str, Manifest]:
    """The corpora by their files' names, which name them in the table."""
    manifests = {Path(path).stem: read_manifest(path) for path in corpora}
    if len(manifests) < len(corpora):
        raise RecipeError("table2: two manifests of the same name; rename one of the files")
    return manifests


def _check_folder(out: Path, common: PretrainRecipe, manifests: dict[str, Manifest]) -> None:
    """Raise `RunError` unless `out` is free or was begun with the same recipe and corpora."""
    corpora = {name: _described(manifest) for name, manifest in manifests.items()}

    def is_own(begun: dict[str, Any]) -> bool:
        return bool(begun["corpora"] == corpora) and _begun_recipe(begun) == common

    content = {"recipe": recipe_to_toml(common), "corpora": corpora}
    begin(out, content, is_own, "table", "recipe or corpora")


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
