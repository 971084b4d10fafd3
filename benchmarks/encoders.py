"""Audio-seconds per second of frozen encoders on this machine, ours beside transformers'.

Every encoder gets the same segments (3 s of noise) in the same process, in turns, so that a slow
moment of the machine hits all of them; the median over turns is printed, and the ratio to
transformers' wav2vec2 with Table 1's shape, which is what one would use instead.

    python -m benchmarks.encoders [--segments 8] [--turns 5] [--threads 1]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from mfas.audio import SEGMENT_SAMPLES, SEGMENT_SECONDS
from mfas.config import EncoderSection
from mfas.encoders import SpeechEncoder, load_encoder, save_random_huggingface

PEER = "transformers wav2vec2, Table 1 shape"
TABLE1_SHAPE = {
    "hidden_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "intermediate_size": 2048,
    "feat_extract_norm": "layer",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    waveforms_BN = torch.randn(
        options.segments, SEGMENT_SAMPLES, generator=torch.Generator().manual_seed(0)
    )
    speeds = measure(load_encoders(), waveforms_BN, options.turns)
    print(f"{options.segments} segments of 3 s, {options.threads} thread(s), float32, median")
    print(f"{'encoder':<40}{'audio-s/s':>10}{'ratio to peer':>16}")
    for name, speed in speeds.items():
        print(f"{name:<40}{speed:>10.1f}{speed / speeds[PEER]:>16.2f}")


def load_encoders() -> dict[str, SpeechEncoder]:
    with tempfile.TemporaryDirectory() as folder:
        table1, base = Path(folder) / "table1", Path(folder) / "base"
        save_random_huggingface("wav2vec2", table1, seed=0, **TABLE1_SHAPE)
        save_random_huggingface("wav2vec2", base, seed=0)
        return {
            PEER: load_encoder(EncoderSection(encoder=str(table1)), "sec"),
            "mfas table1": load_encoder(EncoderSection(encoder="table1"), "sec"),
            "mfas compact": load_encoder(EncoderSection(encoder="compact"), "sec"),
            "transformers wav2vec2-base": load_encoder(EncoderSection(encoder=str(base)), "sec"),
        }


def measure(
    encoders: dict[str, SpeechEncoder], waveforms_BN: torch.Tensor, turns: int
) -> dict[str, float]:
    """Median audio-seconds per second of each encoder, after one turn to warm up."""
    samples_B = torch.full((len(waveforms_BN),), SEGMENT_SAMPLES)
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    with torch.inference_mode():
        for turn in range(turns + 1):
            for name, encoder in encoders.items():
                started = time.perf_counter()
                encoder(waveforms_BN, samples_B)
                if turn > 0:
                    seconds[name].append(time.perf_counter() - started)
    audio = SEGMENT_SECONDS * len(waveforms_BN)
    return {name: audio / statistics.median(spent) for name, spent in seconds.items()}


if __name__ == "__main__":
    main()
