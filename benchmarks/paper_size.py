"""Optimisation steps at the paper's size on this machine: seconds a step, and peak memory.

Base-size data2vec-audio and wav2vec2, both fine-tuned, the mixture of all operations, and the
paper-size head, as recipes/emodb-paper.toml has them; float32, then bf16, in one run.

    python -m benchmarks.paper_size --make-encoders     writes models/*-random, once
    python -m benchmarks.paper_size [--steps 2] [--batch 8] [--accumulate 2] [--threads 2]
"""

import argparse
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.optim import AdamW

from mfas.config import Recipe, read_recipe
from mfas.encoders import save_random_huggingface
from mfas.evaluate.experiment import Experiment, prepare_experiment, read_corpus
from mfas.fusion import LEVELS
from mfas.train import loss_function, make_accelerator, train_step
from mfas.train.loop import micro_batch, parameter_groups, steps_of

RECIPE = Path(__file__).parents[1] / "recipes" / "emodb-paper.toml"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make-encoders", action="store_true")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.make_encoders:
        for kind, name in (
            ("data2vec-audio", "data2vec-audio-base"),
            ("wav2vec2", "wav2vec2-base"),
        ):
            save_random_huggingface(kind, Path("models") / f"{name}-random", seed=0)
        return
    torch.set_num_threads(options.threads)
    print(f"batch {options.batch} in {options.accumulate} parts, {options.threads} thread(s)")
    for precision in ("float32", "bf16"):
        overrides = [
            f"--train.precision={precision}",
            f"--train.batch={options.batch}",
            f"--train.accumulate={options.accumulate}",
        ]
        recipe = read_recipe(RECIPE, overrides)
        losses, seconds = run_steps(recipe, options.steps)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        shown = ", ".join(f"{loss:.4f}" for loss in losses)
        print(f"{precision:<8} {seconds:6.1f} s/step  peak so far {peak:.1f} GiB  losses {shown}")


def run_steps(recipe: Recipe, steps: int) -> tuple[list[float], float]:
    """Losses of `steps` optimisation steps, and seconds a step."""
    experiment = prepare_experiment(recipe, read_corpus(recipe))
    accelerator = make_accelerator(recipe.train)
    model = experiment.make_model(None, seed=0)
    optimizer = AdamW(parameter_groups(model, recipe.train))
    model, optimizer = accelerator.prepare(model, optimizer)
    loss_of = loss_function(experiment.data, everyone(experiment), recipe.train)
    batches = experiment.data.batches(everyone(experiment), micro_batch(recipe.train), seed=0)
    steps_left = steps_of(batches, recipe.train.accumulate)
    model.train()
    started = time.perf_counter()
    losses = [
        train_step(model, next(steps_left), optimizer, loss_of, accelerator, LEVELS[step % 3])
        for step in range(steps)
    ]
    return losses, (time.perf_counter() - started) / steps


def everyone(experiment: Experiment) -> range:
    return range(len(experiment.manifest))


if __name__ == "__main__":
    main()
