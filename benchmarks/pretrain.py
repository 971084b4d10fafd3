"""Audio-seconds per second of pretraining at the size of Table 1, ours beside transformers' own.

A step is forward, backward, clipping and AdamW. Everyone gets the same crops (noise), one after the
other within a turn, so that a slow moment of the machine hits all of them; medians over turns are
printed, and their ratio to `Wav2Vec2ForPreTraining` with as many weights. Its masks and negatives
come from transformers' helpers and are drawn in its step, as its users do; its waveforms are
standardised before it, which is ours to do. transformers has no continuous pretraining: that
objective is held against the same peer.

On a CPU two clocks are shown, since other work on the machine stretches the first: time that has
passed, and time of the processor.

    python -m benchmarks.pretrain [--crops 4] [--seconds 2] [--turns 5] [--threads 1]
                                  [--precision float32 bf16] [--device auto] [--compile]
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining
from transformers.models.wav2vec2.modeling_wav2vec2 import (
    _compute_mask_indices,
    _sample_negative_indices,
)

from mfas.audio import RATE_HZ
from mfas.config import (
    ContinuousSection,
    GuardSection,
    MaskSection,
    OptimizeSection,
    QuantisedSection,
)
from mfas.encoders import TABLE1, TransformerEncoder
from mfas.encoders.front_ends import standardised
from mfas.pretrain.continuous import ContinuousObjective
from mfas.pretrain.objective import Objective, SpeechBatch
from mfas.pretrain.quantised import QuantisedObjective
from mfas.pretrain.schedule import parameter_groups

PEER = "transformers Wav2Vec2ForPreTraining"
PEER_CONFIG = Wav2Vec2Config(
    hidden_size=512,
    num_hidden_layers=4,
    num_attention_heads=8,
    intermediate_size=2048,
    feat_extract_norm="layer",
    layerdrop=0.0,
    num_codevector_groups=2,
    num_codevectors_per_group=8,
    codevector_dim=256,
    proj_codevector_dim=256,
    num_negatives=100,
    attn_implementation="sdpa",
)
MASK, OPTIMIZE = MaskSection(), OptimizeSection()
PROGRESS = 0.5

Loss = Callable[[], Tensor]
Step = Callable[[bool], None]  # takes one optimisation step, with bf16 autocast or without


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--crops", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--device", default="auto", help="auto: a GPU where there is one")
    parser.add_argument("--compile", action="store_true", help="front ends and layers of all")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    device = chosen_device(options.device)
    generator = torch.Generator().manual_seed(0)
    samples = round(options.seconds * RATE_HZ)
    crops_BN = 0.1 * torch.randn(options.crops, samples, generator=generator)
    steps = make_steps(crops_BN.to(device), options.compile)
    compiled = ", compiled" if options.compile else ""
    print(f"{options.crops} crops of {options.seconds:g} s, {device.type}, ", end="")
    print(f"{options.threads} thread(s){compiled}; median of {options.turns} turns")
    for precision in options.precision:
        times = measure(steps, precision == "bf16", options.turns, device)
        report(precision, times, options.crops * options.seconds)


def chosen_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def make_steps(crops_BN: Tensor, compiled: bool) -> dict[str, Step]:
    """The step of everyone, by name; the peer first."""
    guards = GuardSection()
    quantised = QuantisedObjective(
        TransformerEncoder(TABLE1), QuantisedSection(), MASK, guards, seed=0
    )
    continuous = ContinuousObjective(
        TransformerEncoder(TABLE1), ContinuousSection(), MASK, guards, seed=0, updates=1000
    )
    peer = Wav2Vec2ForPreTraining(PEER_CONFIG).to(crops_BN.device)
    if compiled:
        compile_parts(peer.wav2vec2.feature_extractor, *peer.wav2vec2.encoder.layers)
        for encoder in (quantised.encoder, continuous.encoder):
            compile_parts(encoder.front, *encoder.blocks)
    steps = {PEER: make_step(peer, peer_loss(peer, crops_BN))}
    for name, objective in (("mfas quantised", quantised), ("mfas continuous", continuous)):
        objective.to(crops_BN.device)
        steps[name] = make_step(objective, our_loss(objective, crops_BN))
    return steps


def compile_parts(*modules: nn.Module) -> None:
    for module in modules:
        module.compile()


def make_step(model: nn.Module, loss: Loss) -> Step:
    """As `mfas.pretrain.loop` steps."""
    model.train()
    groups = parameter_groups(model, OPTIMIZE.weight_decay)
    optimizer = AdamW(groups, lr=1e-5, betas=OPTIMIZE.betas, eps=1e-6, fused=True)
    device = next(model.parameters()).device.type

    def step(bf16: bool) -> None:
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            value = loss()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), OPTIMIZE.clip)
        optimizer.step()
        optimizer.zero_grad()
        if isinstance(model, Objective):
            model.after_update(PROGRESS)

    return step


def our_loss(objective: Objective, crops_BN: Tensor) -> Loss:
    generator = torch.Generator(crops_BN.device).manual_seed(0)
    samples_B = torch.full(crops_BN.shape[:1], crops_BN.shape[1], device=crops_BN.device)
    batch = SpeechBatch(crops_BN, samples_B, all_rows=len(crops_BN))
    return lambda: objective(batch, PROGRESS, generator).loss


def peer_loss(peer: Wav2Vec2ForPreTraining, crops_BN: Tensor) -> Loss:
    device = crops_BN.device
    frames = int(peer._get_feat_extract_output_lengths(crops_BN.shape[1]))
    shape = (len(crops_BN), frames)
    samples_B = torch.full(crops_BN.shape[:1], crops_BN.shape[1], device=device)
    values_BN = standardised(crops_BN, samples_B)

    def loss() -> Tensor:
        mask_BT = _compute_mask_indices(shape, MASK.share, MASK.span)
        negatives = _sample_negative_indices(shape, PEER_CONFIG.num_negatives, mask_BT)
        output = peer(
            values_BN,
            mask_time_indices=torch.from_numpy(mask_BT).to(device),
            sampled_negative_indices=torch.from_numpy(negatives).to(device),
        )
        return output.loss / int(mask_BT.sum())

    return loss


def measure(
    steps: dict[str, Step], bf16: bool, turns: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """Median seconds of the step of everyone, passed and of the processor, after a turn before."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            started, started_processor = now(device), time.process_time()
            step(bf16)
            passed = now(device) - started
            if turn > 0:
                spent[name].append((passed, time.process_time() - started_processor))
    return {
        name: (statistics.median(p for p, _ in pairs), statistics.median(c for _, c in pairs))
        for name, pairs in spent.items()
    }


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def report(precision: str, times: dict[str, tuple[float, float]], audio: float) -> None:
    print(f"{precision:<40}{'audio-s/s':>10}{'ratio':>8}{'per processor-s':>18}{'ratio':>8}")
    peer = times[PEER]
    for name, (passed, processor) in times.items():
        print(
            f"{name:<40}{audio / passed:>10.2f}{peer[0] / passed:>8.2f}"
            f"{audio / processor:>18.2f}{peer[1] / processor:>8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
