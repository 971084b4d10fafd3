"""Train both compact encoders on a GPU, a stage a call: python tools/gpu_pretrain.py speech.csv STAGE

STAGE: `sec` (continuous targets), `quantised`, then `ctc` (fine-tunes what `quantised` left), or
`table1` (the model of Table 1, for speed). Each call ends at the first checkpoint behind --minutes,
starting up not counted, and the same command goes on from there: a machine that is lent for ten minutes at
a time will do. Prints what was reached: audio-seconds a second, and the share of the matrix rate that this
very card shows.
Without a GPU it computes on the CPU, in the same way.

    make gpu-pretrain SPEECH=speech.csv STAGE=sec
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from mfas.audio import RATE_HZ
from mfas.config import PretrainRecipe, read_pretrain_recipe
from mfas.errors import MfasError
from mfas.pretrain import SpeechBatch, make_objective, pretrain, start_encoder
from mfas.pretrain.journal import LOG

RECIPES = Path(__file__).parents[1] / "recipes"
GPU = {  # larger batches than on a CPU, the rate raised with the square root of their size
    "sec": ("sec-compact", {"batch_seconds": 256, "lr": 2e-3, "updates": 20000}),
    "quantised": ("tec-compact-quantised", {"batch_seconds": 256, "lr": 2e-3, "updates": 15000}),
    "ctc": ("tec-compact-from-quantised", {"batch_seconds": 192, "lr": 1e-3, "updates": 6000}),
    "table1": ("table2-k4", {"batch_seconds": 256, "lr": 1.5e-3, "updates": 5000}),
}
MATRIX = {"cuda": 8192, "cpu": 1024}  # side of the product that stands for the card's peak
CROP_SECONDS = 3.0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("speech", type=Path, help="CSV with file,speaker (ctc: and text)")
    parser.add_argument("stage", choices=GPU)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--minutes", type=float, default=8.0)
    options, overrides = parser.parse_known_args(arguments)
    recipe = stage_recipe(options.stage, options.speech, options.out, overrides)
    folder = options.out / options.stage
    result = pretrain(recipe, folder, resume=True, progress=say, minutes=options.minutes)
    rate = json.loads((folder / LOG).read_text().splitlines()[-1])["audio_seconds_per_second"]
    share = rate * flops_per_audio_second(recipe) / matrix_flops()
    print(
        f"\n{rate:.0f} audio-seconds a second, {100 * share:.1f} % of the matrix rate measured here"
    )
    print(f"{folder}: " + ("finished" if result else "the same command goes on"))


def stage_recipe(
    stage: str, speech: Path, out: Path, overrides: Sequence[str] = ()
) -> PretrainRecipe:
    name, optimize = GPU[stage]
    settings = {
        **optimize,
        "checkpoint_every": 100,
        "precision": "bf16",
        "compile": torch.cuda.is_available(),
    }
    gpu = [part for key, value in settings.items() for part in _override(key, value)]
    start = ["--encoder.start", str(out / "quantised")] if stage == "ctc" else []
    given = ["--speech.manifest", str(speech), *gpu, *start, *overrides]
    return read_pretrain_recipe(RECIPES / f"{name}.toml", given)


def _override(key: str, value: object) -> tuple[str, str]:
    return f"--optimize.{key}", str(value).lower()


def say(what: str, done: int, total: int) -> None:
    print(f"\r{what} {done}/{total}   ", end="", flush=True)


def flops_per_audio_second(recipe: PretrainRecipe) -> float:
    """Of forward and backward pass together, counted on one crop."""
    encoder = start_encoder(
        recipe.encoder.model_copy(update={"start": None}), recipe.objective, 0, "counted"
    )
    objective = make_objective(recipe, encoder)
    samples = int(CROP_SECONDS * RATE_HZ)
    batch = SpeechBatch(
        0.1 * torch.randn(1, samples), torch.tensor([samples]), ("SPEECH",), all_rows=1
    )
    with FlopCounterMode(display=False) as counter:
        objective(batch, 0.5, torch.Generator().manual_seed(0)).loss.backward()
    return counter.get_total_flops() / CROP_SECONDS


def matrix_flops() -> float:
    """Floating-point operations a second of a large bf16 matrix product, the best of ten."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    side = MATRIX[device]
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(11):  # the first warms up
        started = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


if __name__ == "__main__":
    try:
        main()
    except MfasError as error:
        sys.exit(f"gpu_pretrain: {error}")
