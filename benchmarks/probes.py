"""What linear readouts of frozen encoders recognise, for speakers they never saw.

    python -m benchmarks.probes MANIFEST ENCODER [ENCODER...] [--layers stem 1 2] [--table2]

ENCODER: `logmel` (log-mel statistics, no encoder), `compact` or `table1` (random weights;
`compact:SEED` sets their seed), the name of a shipped encoder, a folder, or an id of the Hub.

Without --table2: a linear SVM on means and standard deviations of all layers. Conditions: plain;
adapted = each speaker's features standardised over their own unlabelled utterances, those of the
test speaker included. With --table2: linear heads on means of the last layer, three seeds each,
with the same encoder with random weights beside a pretrained one (mfas.evaluate.head_probe).
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from mfas.config import EncoderSection
from mfas.corpora import Manifest, read_manifest
from mfas.encoders import TransformerEncoder, load_encoder
from mfas.evaluate.bootstrap import Interval
from mfas.evaluate.head_probe import HeadRow, ValueScores, head_probe
from mfas.evaluate.linear_probe import ProbeResult, linear_probe
from mfas.evaluate.pooling import PooledFrames, pool_corpus, pool_log_mel

RANDOM = ("compact", "table1")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("manifest", type=Path)
    parser.add_argument("encoders", nargs="+", metavar="ENCODER")
    parser.add_argument("--split", default="lospo", help="lospo (default), loso, groups:N")
    parser.add_argument("--layers", nargs="+", default=(), help="default: all, with the stem")
    parser.add_argument("--seed", type=int, default=0, help="of the folds, inner ones included")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table2", action="store_true", help="the probe of Table 2")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    manifest = read_manifest(options.manifest)
    print(f"{len(manifest)} utterances, {len(manifest.speakers)} speakers, {options.split}; in %")
    (print_table2 if options.table2 else print_linear)(options, manifest)


def print_linear(options: argparse.Namespace, manifest: Manifest) -> None:
    print(f"{'encoder':<32}{'condition':<11}{'UA':>6}{'95 % interval':>17}{'WA':>7}{'seconds':>9}")
    for name in options.encoders:
        started = time.perf_counter()
        _, pooled = next(pool(name, manifest))
        for adapted in (False, True):
            layers = () if name == "logmel" else options.layers
            result = linear_probe(pooled, manifest, adapted, layers, options.split, options.seed)
            seconds, started = time.perf_counter() - started, time.perf_counter()
            condition = "adapted" if adapted else "plain"
            print(f"{name[-31:]:<32}{condition:<11}{accuracy(result)}{seconds:>9.1f}", flush=True)


def print_table2(options: argparse.Namespace, manifest: Manifest) -> None:
    values = "MSE and CCC of valence, arousal, dominance"
    print(f"{'encoder':<32}{'readout':<11}{'UA':>6}{'95 % interval':>17}{'WA':>7}   {values}")
    for name in options.encoders:
        for called, pooled in pool(name, manifest):
            for row in head_probe(pooled, manifest, options.split, options.seed):
                print(table2_line(called, row), flush=True)


def pool(name: str, manifest: Manifest) -> Iterator[tuple[str, PooledFrames]]:
    """The encoder called `name`; then, if it is ours and trained, its shape with random weights."""
    if name == "logmel":
        yield name, pool_log_mel(manifest)
        return
    kind, _, seed = name.partition(":")
    section = EncoderSection(encoder=name)
    if kind in RANDOM:
        section = EncoderSection(encoder=kind, seed=int(seed or 0))
    encoder = load_encoder(section, "sec")
    yield name, pool_corpus(encoder, manifest)
    if isinstance(encoder, TransformerEncoder) and encoder.trained:
        untrained = TransformerEncoder(encoder.config).freeze()
        yield f"random {encoder.name}", pool_corpus(untrained, manifest)


def accuracy(result: ProbeResult) -> str:
    return f"{100 * result.ua:>6.1f}{interval(result.ua_ci95):>17}{100 * result.wa:>7.1f}"


def interval(ci95: Interval) -> str:
    return f"[{100 * ci95.low:.1f}, {100 * ci95.high:.1f}]"


def table2_line(name: str, row: HeadRow) -> str:
    readout = row.readout if row.seed is None else f"{row.readout} {row.seed}"
    classes = f"{'':>30}" if row.classes is None else accuracy(row.classes)
    return f"{name[-31:]:<32}{readout:<11}{classes}   {spelled(row.values)}".rstrip()


def spelled(values: ValueScores | None) -> str:
    if values is None:
        return ""
    errors = " ".join(f"{error:.2f}" for error in values.mse.values())
    return f"{errors}   {' '.join(f'{ccc:.2f}' for ccc in values.ccc.values())}"


if __name__ == "__main__":
    main()
