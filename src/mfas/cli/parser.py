"""The commands and their arguments.

argparse, not a generator of command lines from types: a recipe's keys come from a file and from
`--section.key value`, which are validated together (`mfas.config`), and an error is one line.
"""

import argparse
import sys
from pathlib import Path
from typing import NoReturn, get_args

from mfas import __version__
from mfas.cli import commands
from mfas.config import PretrainRecipe, Recipe, RecipeFile, SearchSection, known_keys

METHODS = get_args(SearchSection.model_fields["method"].annotation)
CORPORA = ("iemocap", "savee", "emodb", "ravdess", "cremad", "folder", "synthetic")


class OneLineParser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:  # noqa: D102
        print(f"mfas: {message}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command; each sets `run`, the function that does it."""
    parser = OneLineParser(
        prog="mfas",
        description="Speech emotion recognition by multiple-perspective fusion architecture search.",
        epilog="--debug, with any command, shows tracebacks.",
    )
    parser.add_argument("--version", action="version", version=f"mfas {__version__}")
    children = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_corpus(children)
    for add in (_add_doctor, _add_recipes, _add_reproduce, _add_audit, _add_bench):
        add(children)
    for add in (_add_runs, _add_predict, _add_demo):
        add(children)
    return parser


def _add_doctor(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    doctor = children.add_parser("doctor", help="versions, devices, weights and extras")
    doctor.set_defaults(run=commands.doctor, takes_overrides=False)


def _add_corpus(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    corpus = children.add_parser(
        "corpus",
        help="make a manifest of a corpus, or check one",
        description="mfas corpus NAME FOLDER -o manifest.csv | mfas corpus check manifest.csv",
    )
    corpus.add_argument(
        "name", choices=(*CORPORA, "check"), metavar="NAME", help=", ".join(CORPORA)
    )
    corpus.add_argument("path", type=Path, metavar="FOLDER", help="the corpus's folder")
    corpus.add_argument("-o", "--output", type=Path, help="manifest to write (default NAME.csv)")
    corpus.add_argument("--voices", type=int, default=8, help="synthetic: speakers (default 8)")
    corpus.add_argument(
        "--sentences", type=int, default=10, help="synthetic: per emotion and voice"
    )
    corpus.add_argument("--seed", type=int, default=0, help="synthetic: seed (default 0)")
    corpus.set_defaults(run=commands.corpus, takes_overrides=False)


def _add_recipes(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    for name, run, what, out, resumes, model in (
        (
            "pretrain",
            commands.pretrain,
            "train an encoder on speech",
            "encoder folder",
            True,
            PretrainRecipe,
        ),
        (
            "crossval",
            commands.crossval,
            "search, train and test every fold",
            "run folder",
            True,
            Recipe,
        ),
        ("search", commands.search, "the search of every fold alone", "run folder", True, Recipe),
        (
            "train",
            commands.train,
            "one model on a whole manifest, for use",
            "model folder",
            False,
            Recipe,
        ),
    ):
        said = f"{what}. Any key of the recipe can be given as --section.key value."
        command = _add_with_keys(children, name, what, said, model)
        manifests = (
            "" if name == "pretrain" else "; or a manifest (.csv), for the recipe best-compact"
        )
        command.add_argument(
            "recipe", type=Path, metavar="RECIPE", help=f"TOML file, see recipes/{manifests}"
        )
        command.add_argument(
            "--out", type=Path, help=f"{out} to write", required=name in ("search", "train")
        )
        if resumes:
            command.add_argument("--resume", action="store_true", help="go on after an interrupt")
        if name == "pretrain":
            command.add_argument(
                "--minutes", type=float, help="stop behind a checkpoint after this time"
            )
        if name == "search":
            _add_comparison(command)
        command.set_defaults(run=run, takes_overrides=True)


def _add_comparison(search: argparse.ArgumentParser) -> None:
    search.add_argument(
        "--compare",
        nargs="*",
        choices=METHODS,
        metavar="METHOD",
        help="run several methods for several seeds, each in a folder of its own under --out, and weigh "
        f"the evidence (default: all that the head can do of {', '.join(METHODS)})",
    )
    search.add_argument(
        "--seeds", type=int, nargs="+", metavar="SEED", help="of a comparison (default 0 1 2)"
    )
    search.add_argument(
        "--alpha-lrs",
        type=float,
        nargs="+",
        metavar="RATE",
        help="of a comparison: darts with each of these as search.alpha_lr, too",
    )


def _add_reproduce(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    reproduce = _add_with_keys(
        children,
        "reproduce",
        "the paper's results, its numbers beside ours",
        "mfas reproduce table4 --corpora recipes/emodb-compact.toml, or\n"
        "mfas reproduce table2 --speech speech.csv --corpora emodb.csv.\nThe same command goes on after "
        "an interrupt. Any key of a recipe (of pretraining,\nfor table2) can be given as --section.key "
        "value.",
        Recipe,
    )
    known = ("table2", "table3", "table4", "fig3", "fig4", "candidates")
    reproduce.add_argument("what", choices=known, metavar="WHAT", help=", ".join(known))
    reproduce.add_argument(
        *("--corpora", "--corpus"),
        type=Path,
        nargs="+",
        required=True,
        metavar="RECIPE",
        help="TOML files, or manifests (.csv) for the recipe best-compact; table2: manifests",
    )
    _add_seeds(reproduce)
    reproduce.add_argument(
        "--protocols",
        nargs="+",
        choices=("honest", "paper"),
        help="default both; paper chooses on the test fold, and is stamped optimistic",
    )
    reproduce.add_argument("--speech", type=Path, help="table2: CSV with file,speaker")
    reproduce.add_argument(
        "--steps", type=int, default=2000, help="table2: updates of each (default 2000)"
    )
    reproduce.add_argument(
        "--out", type=Path, help="folder to write (default runs/reproduce; table2: runs/table2)"
    )
    reproduce.set_defaults(run=commands.reproduce, takes_overrides=True)


def _add_audit(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    audit = _add_with_keys(
        children,
        "audit",
        "what leaky protocols would add to a recipe's score",
        "The same recipe and seeds with honest folds, with choices made on the test fold, and "
        "with random folds.\nThe same command goes on after an interrupt.",
        Recipe,
    )
    audit.add_argument(
        "recipe", type=Path, metavar="RECIPE", help="TOML file, or a manifest (.csv)"
    )
    _add_seeds(audit)
    audit.add_argument("--out", type=Path, help="folder to write (default runs/NAME-audit)")
    audit.set_defaults(run=commands.audit, takes_overrides=True, protocols=None)


def _add_seeds(command: OneLineParser) -> None:
    command.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1, 2], help="default 0 1 2", metavar="SEED"
    )


def _add_bench(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    bench = _add_with_keys(
        children,
        "bench",
        "controlled tests of the paper's claims on synthetic speech",
        "mfas bench conflict: does SEC adjust TEC where words and prosody disagree? The same "
        "command goes on after an interrupt. Any key of a recipe can be given as --section.key value.",
        Recipe,
    )
    bench.add_argument("what", choices=("conflict",), metavar="WHAT", help="conflict")
    bench.add_argument("--out", type=Path, default=Path("runs/conflict"), help="folder to write")
    bench.add_argument("--voices", type=int, default=8, help="speakers (default 8)")
    bench.add_argument("--takes", type=int, default=3, help="of a voice in each cell (default 3)")
    bench.add_argument(
        "--rule",
        default="prosody-first",
        help="labels: prosody-first (default), congruence; words, prosody: what is heard at all?",
    )
    bench.add_argument(
        "--own-sentences", action="store_true", help="no two voices share a sentence"
    )
    _add_seeds(bench)
    bench.add_argument(
        "--strategies",
        nargs="*",
        metavar="LEVEL:OPERATION",
        help="fixed strategies to run (default: all 19 that differ)",
    )
    bench.set_defaults(run=commands.bench, takes_overrides=True)


def _add_runs(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    verify = children.add_parser(
        "verify", help="recompute every score and hash of a run, or every table of a folder of runs"
    )
    verify.add_argument("run_folder", type=Path, metavar="RUN")
    verify.set_defaults(run=commands.verify, takes_overrides=False)
    report = children.add_parser("report", help="one HTML page of one or more runs, side by side")
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    report.add_argument(
        "-o",
        "--output",
        type=Path,
        help="page (default RUN/report.html, or ./report.html)",
    )
    report.set_defaults(run=commands.report, takes_overrides=False)


def _add_predict(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    predict = children.add_parser("predict", help="the emotion of recordings")
    predict.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files or folders")
    predict.add_argument("--model", help="model folder or Hub id (default: the one in the package)")
    predict.add_argument("--format", choices=("table", "json", "csv"), default="table")
    predict.add_argument(
        "--speaker-audio",
        type=Path,
        metavar="PATH",
        help="recordings of the one speaker who is heard, without labels, to adapt to first",
    )
    predict.add_argument("--timeline", action="store_true", help="a row for each 3-s segment")
    predict.set_defaults(run=commands.predict, takes_overrides=False)


def _add_demo(children: "argparse._SubParsersAction[OneLineParser]") -> None:
    demo = children.add_parser("demo", help="the whole way on a synthetic corpus, offline")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="run folder to write")
    demo.set_defaults(run=commands.demo, takes_overrides=False)


def _add_with_keys(
    children: "argparse._SubParsersAction[OneLineParser]",
    name: str,
    what: str,
    description: str,
    model: type[RecipeFile],
) -> OneLineParser:
    """A command that takes keys of a recipe, which its help lists."""
    return children.add_parser(
        name,
        help=what,
        description=description,
        epilog=_keys_help(model),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _keys_help(model: type[RecipeFile]) -> str:
    keys = list(known_keys(model))
    width = max(len(key) for key, _, _ in keys)
    lines = [f"  --{key:<{width}}  {default!s:<10} {what}" for key, default, what in keys]
    return "recipe keys, with their defaults:\n" + "\n".join(lines)
