"""How well is emotion recognised, beside what one would use instead?

    python -m benchmarks.quality MANIFEST [--condition plain adapted] [--seeds 0 1 2] [--rows ROW ...]
                                 [--slow] [--out FILE] [--runs FOLDER]

A manifest enters; one table for each condition leaves, with the same folds and seeds in every row:

    majority        the most frequent class of the training speakers
    logmel          log-mel statistics, linear SVM
    egemaps         openSMILE eGeMAPSv02 functionals, linear SVM
    compare2016     openSMILE ComParE_2016 functionals, linear SVM: the yardstick
    sec-compact     mean and deviation of all layers of the frozen encoder, linear SVM
    tec-compact     the same
    coattention     Co-attention with one stream (Zou et al. 2022), trained by gradient; with --slow, or
                    named in --rows. It does not adapt: plain only
    ridge           MFAS with the closed-form head, TEC not adjusted by SEC (fusion.strategy none)
    searched        MFAS with the closed-form head, strategy searched in every fold (best-compact)

plain: nothing of a test speaker is known. adapted: features are standardised per speaker without
labels, over the test speaker's recordings too. The two are never in one table. Everything that is
chosen (C, penalty, strategy, epoch) is chosen on training speakers.

Columns: UA, WA and macro-F1 pooled over all folds, means over the seeds; UA's 95 % interval and that of
its difference to the yardstick by resampling whole speakers (`mfas.evaluate.bootstrap`, `paired`). With
several seeds, a resampled speaker brings along what every seed said, so each resample's score is the
average of the seeds' UAs; a row that has run once is held against each seed of the other. That covers
the choice of speakers; the spread of seeds only as far as it is averaged. Rows without chance (majority,
ridge) run once; an SVM has chance in the groups of training speakers that its C is chosen on. seconds:
what all runs of the row took here together, with the features, unless those lie in the cache of an
earlier run (openSMILE's; the frames of coattention, ridge and searched).

openSMILE (`pip install -c constraints.txt --group bench`) is licensed for research only. It is a
yardstick here, never a dependency of what ships: nothing in src/ may import it. Its features are kept in
the cache folder of mfas by the hash of the audio. Without it, its rows are left out.

Shape legend: U utterances, F features.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from mfas.audio import RATE_HZ, audio_sha256, read_audio
from mfas.config import EncoderSection, Recipe, read_recipe
from mfas.config.experiment import BEST_COMPACT
from mfas.corpora import Manifest, make_folds, read_manifest
from mfas.encoders import load_encoder
from mfas.encoders.arrays import save_array, stored_array
from mfas.encoders.cache import default_cache_folder
from mfas.errors import MfasError, ModelError
from mfas.evaluate import (
    Interval,
    bootstrap_intervals,
    cross_validate,
    macro_f1,
    unweighted_accuracy,
    weighted_accuracy,
)
from mfas.evaluate.linear_probe import probe_features, utterance_features
from mfas.evaluate.pooling import pool_corpus, pool_log_mel
from mfas.evaluate.protocol import utterance_name
from mfas.evaluate.replicates import Replicates, compare_replicates
from mfas.storage import read_csv, write_text

YARDSTICK = "compare2016"
TITLES = {
    "majority": "majority class",
    "logmel": "log-mel statistics + SVM",
    "egemaps": "openSMILE eGeMAPSv02 + SVM",
    YARDSTICK: "openSMILE ComParE_2016 + SVM",
    "sec-compact": "frozen sec-compact + SVM",
    "tec-compact": "frozen tec-compact + SVM",
    "coattention": "Co-attention alone (TEC)",
    "ridge": "MFAS, ridge, no adjustment",
    "searched": "MFAS, ridge, searched",
}
OPENSMILE = {"egemaps": "eGeMAPSv02", YARDSTICK: "ComParE_2016"}  # row -> openSMILE's feature set
SLOW = ("coattention",)
PLAIN_ONLY = ("coattention",)
ONCE = ("majority", "ridge")  # rows that no seed changes, with folds that no seed changes
# what a row's recipe has that best-compact has not
RECIPES = {
    "coattention": [
        *("--head.kind", "coattention", "--head.size", "compact", "--fusion.dim", "128"),
        *("--sec.encoder", "none", "--fusion.strategy", "none"),
    ],
    "ridge": ["--fusion.strategy", "none"],
    "searched": [],
}


@dataclass(frozen=True)
class Bench:
    """What every row is measured on. runs: where run folders are kept."""

    path: Path
    manifest: Manifest
    split: str
    seeds: tuple[int, ...]
    runs: Path


@dataclass(frozen=True)
class Row:
    """What a system predicted for the manifest's utterances, in its order, once or with every seed."""

    name: str
    predictions: tuple[tuple[str, ...], ...]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    try:
        with folder_of_runs(options.runs) as runs:
            manifest = read_manifest(options.manifest)
            bench = Bench(options.manifest, manifest, options.split, tuple(options.seeds), runs)
            rows = chosen(options)
            tables = []
            for condition in dict.fromkeys(options.condition):
                tables.append(table(bench, condition, measure(bench, rows, condition)))
                print(tables[-1], flush=True)
                if options.out is not None:
                    write_text(options.out, "\n".join(tables))
    except MfasError as error:
        sys.exit(f"benchmarks.quality: {error}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    conditions = ("plain", "adapted")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--condition", nargs="+", choices=conditions, default=conditions)
    parser.add_argument("--seeds", nargs="+", type=int, default=(0,))
    parser.add_argument(
        "--rows", nargs="+", choices=tuple(TITLES), help="default: all but slow ones"
    )
    parser.add_argument("--slow", action="store_true", help="with Co-attention alone")
    parser.add_argument("--split", choices=("lospo", "loso"), default="lospo")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the tables there, too")
    parser.add_argument(
        "--runs", type=Path, metavar="FOLDER", help="keep the run folders; what is there is resumed"
    )
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args(arguments)


@contextmanager
def folder_of_runs(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def chosen(options: argparse.Namespace) -> list[str]:
    """Rows in the order of `TITLES`; says what is left out because openSMILE is not there."""
    wanted = options.rows or [name for name in TITLES if options.slow or name not in SLOW]
    rows = [name for name in TITLES if name in wanted or (options.slow and name in SLOW)]
    missing = [] if find_spec("opensmile") else [name for name in rows if name in OPENSMILE]
    if missing:
        print(
            f"{', '.join(missing)}: left out, openSMILE is not installed; for research: "
            "pip install -c constraints.txt --group bench"
        )
    return [name for name in rows if name not in missing]


def measure(bench: Bench, names: Sequence[str], condition: str) -> list[Row]:
    """Every row in turn; progress goes to stderr, since a table needs its yardstick."""
    rows = []
    for name in names:
        if condition == "plain" or name not in PLAIN_ONLY:
            rows.append(run_row(bench, name, condition))
            ua = 100 * unweighted_accuracy(*replicates(bench, rows[-1]).pooled(1)[:2])
            print(f"{condition} {name}: UA {ua:.1f}, {rows[-1].seconds:.1f} s", file=sys.stderr)
    return rows


def run_row(bench: Bench, name: str, condition: str) -> Row:
    seeds = bench.seeds[:1] if name in ONCE else bench.seeds
    if name in RECIPES:
        results = [run_recipe(bench, name, condition, seed) for seed in seeds]
        seconds = sum(spent for _, spent in results)
        return Row(name, tuple(predicted for predicted, _ in results), seconds)
    if name == "majority":
        return Row(name, (majority(bench.manifest, bench.split),), 0.0)
    features_UF, seconds = timed_features(name, bench.manifest)
    started = time.perf_counter()
    adapted = condition == "adapted"
    predictions = tuple(
        probe_features(name, features_UF, bench.manifest, adapted, bench.split, seed).predicted
        for seed in seeds
    )
    return Row(name, predictions, seconds + time.perf_counter() - started)


def majority(manifest: Manifest, split: str) -> tuple[str, ...]:
    """The most frequent class of each fold's training utterances; the first of equals."""
    predicted = [""] * len(manifest)
    for fold in make_folds(manifest, split, 0, 0.0, "paper"):  # nothing is chosen
        counts = Counter(sorted(manifest.utterances[i].label for i in fold.train))
        for i in fold.test:
            predicted[i] = counts.most_common(1)[0][0]
    return tuple(predicted)


def encoder_features(name: str, manifest: Manifest) -> np.ndarray:
    encoder = load_encoder(EncoderSection(encoder=name), "sec")
    return utterance_features(pool_corpus(encoder, manifest))


def log_mel_features(manifest: Manifest) -> np.ndarray:
    return utterance_features(pool_log_mel(manifest))


def functionals(feature_set: str, manifest: Manifest) -> np.ndarray:
    """openSMILE's functionals of every utterance, float64 (U, F), of the audio that everyone gets."""
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet[feature_set], opensmile.FeatureLevel.Functionals)
    shelf = default_cache_folder() / f"opensmile-{opensmile.__version__}-{feature_set}"
    features = []
    for utterance in manifest:
        samples_N = read_audio(utterance.path, utterance.start, utterance.end)
        place = shelf / f"{audio_sha256(samples_N)}.npy"
        stored_F = stored_array(place, (len(smile.feature_names),), np.float32)
        if stored_F is None:
            stored_F = smile.process_signal(samples_N, RATE_HZ).to_numpy(np.float32)[0]
            save_array(place, stored_F)
        if not np.isfinite(stored_F).all():
            raise ModelError(
                f"{utterance.file}: {feature_set} has no finite value for it; leave it out"
            )
        features.append(np.array(stored_F, dtype=float))
    return np.stack(features)


FEATURES: dict[str, Callable[[Manifest], np.ndarray]] = {
    "logmel": log_mel_features,
    **{name: partial(functionals, feature_set) for name, feature_set in OPENSMILE.items()},
    **{name: partial(encoder_features, name) for name in ("sec-compact", "tec-compact")},
}


@cache
def timed_features(name: str, manifest: Manifest) -> tuple[np.ndarray, float]:
    """The same with every seed and in both conditions, and so are the seconds that they took."""
    started = time.perf_counter()
    features_UF = FEATURES[name](manifest)
    return features_UF, time.perf_counter() - started


def run_recipe(bench: Bench, name: str, condition: str, seed: int) -> tuple[tuple[str, ...], float]:
    """What a cross-validation predicts, and the seconds it took (when it ran, if it was kept)."""
    out = bench.runs / condition / f"{name}-{seed}"
    result = cross_validate(recipe_of(bench, name, condition, seed), out, resume=out.exists())
    rows = {row["file"]: row for row in read_csv(out / "predictions.csv")}
    ordered = [rows[utterance_name(utterance)] for utterance in bench.manifest]
    assert [row["label"] for row in ordered] == [u.label for u in bench.manifest], out
    return tuple(row["predicted"] for row in ordered), result["seconds"]


def recipe_of(bench: Bench, name: str, condition: str, seed: int) -> Recipe:
    given = ["--corpus.manifest", str(bench.path), "--name", name, "--seed", str(seed)]
    given += ["--evaluate.split", bench.split, "--evaluate.condition", condition]
    return read_recipe(BEST_COMPACT, [*given, *RECIPES[name]])


def table(bench: Bench, condition: str, rows: Sequence[Row]) -> str:
    yardstick = next((row for row in rows if row.name == YARDSTICK), None)
    heads = f"{'UA':>6}{'95 % interval':>16}{'WA':>7}{'macro-F1':>10}{'to ComParE':>12}"
    lines = [
        f"{bench.path.name}, {condition}: {len(bench.manifest)} utterances, "
        f"{len(bench.manifest.speakers)} speakers, {bench.split}, "
        f"seeds {' '.join(map(str, bench.seeds))}; in %, differences in points of UA",
        f"{'system':<30}{'runs':>4}{heads}{'95 % interval':>17}{'seconds':>9}",
        *(line(bench, row, yardstick) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def line(bench: Bench, row: Row, yardstick: Row | None) -> str:
    runs = replicates(bench, row)
    true, predicted, speakers = runs.pooled()
    ua_ci95, _ = bootstrap_intervals(true, predicted, speakers)
    f1 = np.mean([macro_f1(runs.labels, run) for run in runs.predicted])
    scores = f"{100 * unweighted_accuracy(true, predicted):>6.1f}{interval(ua_ci95):>16}"
    scores += f"{100 * weighted_accuracy(true, predicted):>7.1f}{100 * f1:>10.1f}"
    beside = "-", "-"
    if yardstick is not None and yardstick is not row:
        found = compare_replicates(runs, replicates(bench, yardstick))
        beside = f"{100 * found.difference:+.1f}", interval(found.ci95)
    times = len(row.predictions)
    return (
        f"{TITLES[row.name]:<30}{times:>4}{scores}{beside[0]:>12}{beside[1]:>17}{row.seconds:>9.1f}"
    )


def replicates(bench: Bench, row: Row) -> Replicates:
    """What a row predicted, seed by seed; its folds are not asked for."""
    manifest = bench.manifest
    return Replicates(
        files=tuple(utterance_name(utterance) for utterance in manifest),
        speakers=tuple(utterance.speaker for utterance in manifest),
        labels=tuple(utterance.label for utterance in manifest),
        predicted=row.predictions,
        folds=(),
    )


def interval(ci95: Interval) -> str:
    return f"[{100 * ci95.low:.1f}, {100 * ci95.high:.1f}]"


if __name__ == "__main__":
    main()
