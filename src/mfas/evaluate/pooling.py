"""A frozen encoder and a corpus enter; a few numbers per utterance leave, small enough for memory.

What a probe reads (choice, see `probe`): mean and standard deviation over all real frames of an
utterance, of the front end's features and of every layer. The encoder sees what it sees in the
product: 3-second segments of a recording, each cut at its end, so that padding never counts.

Shape legend: U utterances, G segments of all of them, B segments run together, N samples, T frames,
L pooled outputs (stem and layers), S = 2 statistics (mean, standard deviation), D width.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfas.audio import read_audio, segment
from mfas.corpora import Manifest
from mfas.encoders import LogMel, LogMelSettings, SpeechEncoder, TransformerEncoder
from mfas.errors import ModelError

STEM = "stem"  # name of the front end's features
BATCH = 16  # segments of equal length that run together
# unpadded waveforms (B, N) -> frames that are all real (B, T, D), one for each pooled output
Outputs = Callable[[Tensor], list[Tensor]]


@dataclass(frozen=True)
class PooledFrames:
    """What is left of a corpus after a frozen encoder.

    name: of the encoder. layers: names of the L outputs, "stem" and "1" to "n" (a Hugging Face
    model: the layers it returns). statistics_ULSD: float32, over all real frames of an utterance.
    last_GD: float32, mean of the last layer over each segment. utterance_G: int64, whose segment.
    """

    name: str
    layers: tuple[str, ...]
    statistics_ULSD: np.ndarray
    last_GD: np.ndarray
    utterance_G: np.ndarray


def pool_corpus(encoder: SpeechEncoder, manifest: Manifest) -> PooledFrames:
    """Run the frozen `encoder` once over the recordings of `manifest`, in its order.

    Raises `ModelError` if it gives values that are not finite, and the errors of reading audio.
    """
    assert encoder.frozen, "a probe reads what an encoder knows, not what it is about to learn"
    device = next(encoder.parameters()).device
    if isinstance(encoder, TransformerEncoder):
        layers = (STEM, *(str(layer + 1) for layer in range(encoder.depth)))
        outputs = _all_layers(encoder)
    else:
        layers = tuple(map(str, encoder.layers))
        outputs = _returned_layers(encoder)
    return _pool(encoder.name, layers, outputs, encoder.receptive_field, manifest, device)


def pool_log_mel(manifest: Manifest) -> PooledFrames:
    """The baseline without an encoder: standardised 80-bin log-mel in place of hidden states."""
    front = LogMel(LogMelSettings(), dim=1)

    def outputs(waveforms_BN: Tensor) -> list[Tensor]:
        return [front.log_mel(waveforms_BN)]

    return _pool(
        "logmel", ("log-mel",), outputs, front.receptive_field, manifest, torch.device("cpu")
    )


def _all_layers(encoder: TransformerEncoder) -> Outputs:
    def outputs(waveforms_BN: Tensor) -> list[Tensor]:
        samples_B = torch.full((len(waveforms_BN),), waveforms_BN.shape[1])
        start = encoder.front_end(waveforms_BN, samples_B.to(waveforms_BN.device))
        layers = encoder.context(start.features_BTD, start.mask_BT)
        return [start.features_BTD, *(layer.hidden_BTD for layer in layers)]

    return outputs


def _returned_layers(encoder: SpeechEncoder) -> Outputs:
    def outputs(waveforms_BN: Tensor) -> list[Tensor]:
        samples_B = torch.full((len(waveforms_BN),), waveforms_BN.shape[1])
        frames = encoder(waveforms_BN, samples_B.to(waveforms_BN.device))
        real = int(frames.mask_BT[0].sum())  # of all segments: they are equally long
        return list(frames.hidden_BLTD[:, :, :real].unbind(1))

    return outputs


def _pool(
    name: str,
    layers: tuple[str, ...],
    outputs: Outputs,
    shortest: int,
    manifest: Manifest,
    device: torch.device,
) -> PooledFrames:
    """Sums of each segment first, in float64; an utterance's statistics are made of its sums."""
    waveforms, utterance_G = _read_segments(manifest, shortest)
    counts_G = np.zeros(len(waveforms))
    sums: list[np.ndarray] = [np.empty(0)] * len(waveforms)
    for rows in _equally_long(waveforms):
        waveforms_BN = torch.from_numpy(np.stack([waveforms[row] for row in rows])).to(device)
        with torch.inference_mode():
            frames_LBTD = torch.stack(outputs(waveforms_BN)).double()
            sums_BLSD = torch.stack([frames_LBTD.sum(2), frames_LBTD.square().sum(2)], dim=2)
        counts_G[rows] = frames_LBTD.shape[2]
        for row, sums_LSD in zip(rows, sums_BLSD.transpose(0, 1).cpu().numpy(), strict=True):
            sums[row] = sums_LSD
    sums_GLSD = np.stack(sums)
    if not np.isfinite(sums_GLSD).all():
        raise ModelError(f"{name}: gives frames that are not finite; choose another encoder")
    return PooledFrames(
        name=name,
        layers=layers,
        statistics_ULSD=_statistics(sums_GLSD, counts_G, utterance_G),
        last_GD=(sums_GLSD[:, -1, 0] / counts_G[:, None]).astype(np.float32),
        utterance_G=utterance_G,
    )


def _read_segments(manifest: Manifest, shortest: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Each segment cut at its end, and the index of its utterance.

    Below one receptive field, the zeros behind the end count as real, as in `SpeechEncoder`.
    """
    waveforms, owners = [], []
    for index, utterance in enumerate(manifest):
        parts = segment(read_audio(utterance.path, utterance.start, utterance.end), views=False)
        for waveform_N, samples in zip(parts.waveforms_SN, parts.samples_S, strict=True):
            waveforms.append(waveform_N[: max(int(samples), shortest)])
            owners.append(index)
    return waveforms, np.array(owners, dtype=np.int64)


def _equally_long(waveforms: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Batches of segments that need no padding, so that nothing has to be masked."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for row, waveform_N in enumerate(waveforms):
        by_length[len(waveform_N)].append(row)
    for rows in by_length.values():
        yield from (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _statistics(sums_GLSD: np.ndarray, counts_G: np.ndarray, utterance_G: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over all frames of each utterance, float32 (U, L, S, D)."""
    totals_ULSD = np.zeros((utterance_G[-1] + 1, *sums_GLSD.shape[1:]))
    np.add.at(totals_ULSD, utterance_G, sums_GLSD)
    moments_ULSD = totals_ULSD / np.bincount(utterance_G, counts_G)[:, None, None, None]
    mean_ULD = moments_ULSD[:, :, 0]
    variance_ULD = np.maximum(moments_ULSD[:, :, 1] - mean_ULD**2, 0)
    return np.stack([mean_ULD, np.sqrt(variance_ULD)], axis=2).astype(np.float32)
