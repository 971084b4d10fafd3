"""What each command does: read its arguments, call one room, print the outcome."""

import csv
import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from rich.console import Console

from mfas.cli.display import predictions_table, show_progress, stderr, stdout
from mfas.config import Recipe, read_pretrain_recipe, read_recipe
from mfas.errors import AudioError, FailedError, RecipeError

SHOWN_SKIPPED = 5  # of what an adapter left out


def doctor(options: Namespace) -> int:  # noqa: ARG001
    """`mfas doctor`."""
    from mfas.cli.doctor import examine

    stdout().print(examine())
    return 0


def corpus(options: Namespace) -> int:
    """`mfas corpus`."""
    from mfas.corpora import adapt_corpus, synthesize_corpus, write_manifest

    if options.name == "check":
        return _check_manifest(options.path)
    if options.name == "synthetic":
        manifest = synthesize_corpus(options.path, options.voices, options.sentences, options.seed)
    else:
        manifest = adapt_corpus(options.name, options.path)
    output: Path = options.output or Path(f"{options.name}.csv")
    write_manifest(manifest, output)
    console = stdout()
    size = f"{len(manifest)} utterances, {len(manifest.speakers)} speakers"
    console.print(f"{output}: {size}", soft_wrap=True)
    _print_counts(console, "class", manifest.counts())
    _print_counts(console, "speaker", manifest.speaker_counts())
    for line in manifest.skipped[:SHOWN_SKIPPED]:
        stderr().print(f"skipped: {line}", style="yellow")
    if len(manifest.skipped) > SHOWN_SKIPPED:
        more = len(manifest.skipped) - SHOWN_SKIPPED
        stderr().print(f"skipped: {more} more like these", style="yellow")
    return 0


def _check_manifest(path: Path) -> int:
    from mfas.corpora import check_manifest, read_manifest

    report = check_manifest(read_manifest(path))
    console = stdout()
    console.print(
        f"{path}: {report.utterances} utterances, {report.seconds / 60:.1f} min, "
        f"{report.segments} segments of 3 s",
        soft_wrap=True,
    )
    _print_counts(console, "class", report.classes)
    _print_counts(console, "speaker", report.speakers)
    for line in report.problems:
        console.print(line, soft_wrap=True)
    if not report.ok:
        raise FailedError(f"{path}: problems found: {len(report.problems)}; correct files or rows")
    console.print("every file decodes; nothing silent, clipped or twice")
    return 0


def crossval(options: Namespace) -> int:
    """`mfas crossval`."""
    recipe = read_recipe(options.recipe, options.overrides)
    from mfas.evaluate import cross_validate
    from mfas.report import read_run, summary_table

    out: Path = options.out or Path("runs") / recipe.name
    with show_progress() as progress:
        cross_validate(recipe, out, options.resume, progress=progress)
    stdout().print(summary_table(read_run(out)))
    stdout().print(f"report: {out / 'report.html'}", soft_wrap=True)
    return 0


def search(options: Namespace) -> int:
    """`mfas search`."""
    recipe = read_recipe(options.recipe, options.overrides)
    if options.compare is not None:
        return _compare_searches(recipe, options)
    if options.seeds or options.alpha_lrs:
        raise RecipeError("--seeds and --alpha-lrs belong to a comparison; add --compare")
    from mfas.evaluate import search_folds
    from mfas.report import search_table

    with show_progress() as progress:
        search_folds(recipe, options.out, options.resume, progress=progress)
    stdout().print(search_table(options.out))
    stdout().print(f"report: {options.out / 'report.html'}", soft_wrap=True)
    return 0


def _compare_searches(recipe: Recipe, options: Namespace) -> int:
    _require_no_seed(options.overrides)
    from mfas.evaluate import compare_searches

    out: Path = options.out
    chosen = {"seeds": options.seeds} if options.seeds else {}
    with show_progress() as progress:
        found = compare_searches(
            recipe,
            out,
            options.compare,
            alpha_lrs=options.alpha_lrs or (),
            resume=options.resume,
            progress=progress,
            **chosen,
        )
    said = [line for lines in found["sentences"].values() for line in lines]
    for line in (found["measure"], found["noise_sentence"], *said):
        print(line)
    for line in found["warnings"]:
        stderr().print(f"collapse: {line}", style="yellow")
    stdout().print(f"report: {out / 'report.html'}", soft_wrap=True)
    return 0


def train(options: Namespace) -> int:
    """`mfas train`."""
    recipe = read_recipe(options.recipe, options.overrides)
    from mfas.evaluate import train_model

    with show_progress() as progress:
        result = train_model(recipe, options.out, progress=progress)
    ua = f"UA {100 * result.best.ua:.1f} %"
    chosen = f"best epoch {result.best_epoch}, {ua} on the speakers held out to choose it"
    if recipe.head.kind == "ridge":
        chosen = f"solved, {ua} with each training speaker left out in turn"
    stdout().print(
        f"{options.out}: {chosen} (optimistic; mfas crossval measures the recipe)", soft_wrap=True
    )
    return 0


def pretrain(options: Namespace) -> int:
    """`mfas pretrain`."""
    recipe = read_pretrain_recipe(options.recipe, options.overrides)
    from mfas.pretrain import pretrain as run

    out: Path = options.out or Path("runs") / recipe.name
    with show_progress() as progress:
        result = run(recipe, out, options.resume, progress=progress, minutes=options.minutes)
    if os.environ.get("RANK", "0") != "0":  # one of several processes says it
        return 0
    if result is None:
        stdout().print(f"{out}: stopped at a checkpoint; go on with --resume", soft_wrap=True)
        return 0
    rates = result["held_out"]
    scored = f", CER {100 * rates['cer']:.1f} % on held-out speakers" if rates else ""
    stdout().print(
        f"{out}: {result['updates']} updates, loss {result['last']['loss']:.3f}{scored}; "
        f"use it as --sec.encoder {out} or --tec.encoder {out}",
        soft_wrap=True,
    )
    return 0


def reproduce(options: Namespace) -> int:
    """`mfas reproduce`."""
    if options.what == "table2":
        return _reproduce_table2(options)
    recipes = [read_recipe(path, options.overrides) for path in options.corpora]
    return _study(options.what, recipes, options.out or Path("runs/reproduce"), options)


def audit(options: Namespace) -> int:
    """`mfas audit`."""
    recipe = read_recipe(options.recipe, options.overrides)
    out = options.out or Path("runs") / f"{recipe.name}-audit"
    return _study("audit", [recipe], out, options)


def _study(name: str, recipes: list[Recipe], out: Path, options: Namespace) -> int:
    """Run a study, and say what it found."""
    _require_no_seed(options.overrides)
    from mfas.report.study import scores_table, sentences
    from mfas.reproduce import STUDIES, run_study

    protocols = options.protocols or STUDIES[name].protocols
    with show_progress() as progress:
        table = run_study(name, recipes, options.seeds, protocols, out, progress=progress)
    stdout().print(scores_table(table))
    for sentence in sentences(table):
        stdout().print(sentence, soft_wrap=True)
    stdout().print(f"report: {out / name}.html", soft_wrap=True)
    return 0


def _require_no_seed(overrides: list[str]) -> None:
    """Raise `RecipeError` for one seed where several are run."""
    if any(key.partition("=")[0] == "--seed" for key in overrides):
        raise RecipeError("--seed: several are run here; name them with --seeds")


def _reproduce_table2(options: Namespace) -> int:
    if options.speech is None:
        raise RecipeError("table2: no speech to pretrain on; name a CSV with --speech")
    out = options.out or Path("runs/table2")
    from mfas.report.table2 import verdicts
    from mfas.reproduce import reproduce_table2, table2_recipe

    recipe = table2_recipe(options.speech, options.steps, options.overrides)
    with show_progress() as progress:
        table = reproduce_table2(recipe, options.corpora, out, progress=progress)
    for sentence in verdicts(table):
        print(sentence)
    stdout().print(f"report: {out / 'report.html'}", soft_wrap=True)
    return 0


def bench(options: Namespace) -> int:
    """`mfas bench`."""
    from mfas.corpora import ConflictPlan
    from mfas.report import conflict_table
    from mfas.report.conflict import findings
    from mfas.reproduce import bench_conflict, plan_bench

    plan = ConflictPlan(options.voices, options.takes, options.rule, options.own_sentences)
    chosen = {} if options.strategies is None else {"strategies": options.strategies}
    planned = plan_bench(options.out, plan, options.seeds, overrides=options.overrides, **chosen)
    with show_progress() as progress:
        table = bench_conflict(planned, progress)
    stdout().print(conflict_table(table))
    for sentence in findings(table):
        print(sentence)
    stdout().print(f"report: {options.out / 'report.html'}", soft_wrap=True)
    return 0


def verify(options: Namespace) -> int:
    """`mfas verify`."""
    from mfas.evaluate import verify_run
    from mfas.reproduce import tables_in

    run: Path = options.run_folder
    tables = {} if (run / "result.json").is_file() else tables_in(run)
    found = [check() for check in tables.values()] or [verify_run(run)]
    faults = dict.fromkeys(fault for those in found for fault in those)
    for fault in faults:
        print(fault)
    if faults:
        raise FailedError(f"{run}: faults found: {len(faults)}; run it again")
    if tables:
        print(f"{', '.join(tables)}: every number follows from the runs, every hash matches")
    else:
        print(f"{run}: every score follows from the predictions, every hash matches")
    return 0


def report(options: Namespace) -> int:
    """`mfas report`."""
    from mfas.report import Pair, write_report

    pairs: tuple[Pair, ...] = ()
    target: Path = options.output or options.runs[0] / "report.html"
    if len(options.runs) > 1:
        from mfas.evaluate import compare_runs

        pairs = compare_runs(options.runs)
        target = options.output or Path("report.html")
    write_report(options.runs, target, pairs)
    print(target)
    return 0


def predict(options: Namespace) -> int:
    """`mfas predict`."""
    from mfas.recognize import Recognizer, audio_files

    files = audio_files(options.paths)
    recognizer = Recognizer.from_pretrained(options.model)
    if options.speaker_audio is not None:
        recognizer = recognizer.adapt(audio_files([options.speaker_audio]))
    for note in recognizer.notes:
        stderr().print(f"note: {note}", style="yellow")
    answers: list[dict[str, Any]] = []
    for path in files:
        try:
            answers.append(recognizer.predict(path).to_json())
        except (AudioError, OSError) as error:
            answers.append({"file": str(path), "error": str(error)})
    _print_predictions(answers, recognizer.classes, options)
    failed = [answer["error"] for answer in answers if "error" in answer]
    for line in failed if options.format != "json" else []:
        print(f"mfas: {line}", file=sys.stderr)
    return 1 if failed else 0


def demo(options: Namespace) -> int:
    """`mfas demo`."""
    from mfas.evaluate import run_demo, verify_run
    from mfas.report import read_run, summary_table

    with show_progress() as progress:
        outcome = run_demo(options.out, progress=progress)
    console = stdout()
    console.print(summary_table(read_run(options.out)))
    faults = verify_run(options.out)
    if faults:
        raise FailedError(f"{options.out}: {faults[0]}")
    console.print("verified: every score follows from the predictions, every hash matches")
    arguments = ["predict", str(outcome.example), "--model", str(outcome.model), "--timeline"]
    console.print("$ mfas " + " ".join(arguments), soft_wrap=True)
    shown = Namespace(
        paths=[outcome.example],
        model=str(outcome.model),
        speaker_audio=None,
        format="table",
        timeline=True,
    )
    code = predict(shown)
    console.print(f"report: {options.out / 'report.html'}", soft_wrap=True)
    return code


def _print_predictions(
    answers: list[dict[str, Any]], classes: tuple[str, ...], options: Namespace
) -> None:
    if options.format == "json":
        print(json.dumps(answers, indent=2, ensure_ascii=False))
        return
    rows = list(_prediction_rows(answers, options.timeline))
    if options.format == "table":
        stdout().print(predictions_table(rows, classes))
        return
    columns = ["file", "start", "end", "label", *(f"p_{name}" for name in classes), "error"]
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)


def _prediction_rows(answers: list[dict[str, Any]], timeline: bool) -> list[dict[str, Any]]:
    """One row a file, followed by one a segment if `timeline`."""
    rows: list[dict[str, Any]] = []
    for answer in answers:
        if "error" in answer:
            rows.append({"file": answer["file"], "error": answer["error"]})
            continue
        parts = [{"start": 0.0, "end": answer["duration"], **answer}]
        for part in parts + (answer["segments"] if timeline else []):
            probabilities = {f"p_{name}": p for name, p in part["probabilities"].items()}
            row = {key: part[key] for key in ("start", "end", "label")}
            rows.append({"file": answer["file"], **row, **probabilities})
    return rows


def _print_counts(console: Console, what: str, counts: dict[str, int]) -> None:
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    console.print(f"per {what}: {listed}", soft_wrap=True)
