"""Frames of any number become seven numbers a dimension: what a linear readout needs of a window.

Mean and deviation say what the frames are like; low, middle and high quantiles, how they are spread;
the mean step from frame to frame, how fast they move; the last third less the first, where they go.
The last two are what an order-free pooling loses, and what paid most on EMO-DB (docs/quality.md).

Shape legend: W windows, T frames, D width, S = 7 statistics.
"""

import torch
from torch import Tensor

STATISTICS = ("mean", "deviation", "low", "median", "high", "step", "drift")
QUANTILES = (0.1, 0.5, 0.9)


def pool_frames(frames_WTD: Tensor, mask_WT: Tensor) -> Tensor:
    """(W, T, D) with real frames first (mask_WT is True on them, at least one) -> (W, S D).

    What lies behind the real frames does not matter.
    """
    counts_W1 = mask_WT.sum(1, keepdim=True)
    mask_WT1 = mask_WT.unsqueeze(-1)
    real_WTD = frames_WTD.masked_fill(~mask_WT1, 0)
    mean_WD = real_WTD.sum(1) / counts_W1
    centred_WTD = (real_WTD - mean_WD.unsqueeze(1)).masked_fill(~mask_WT1, 0)
    deviation_WD = (centred_WTD.square().sum(1) / counts_W1 + 1e-12).sqrt()
    steps_WTD = (real_WTD[:, 1:] - real_WTD[:, :-1]).masked_fill(~mask_WT1[:, 1:], 0)
    step_WD = steps_WTD.abs().sum(1) / (counts_W1 - 1).clamp(min=1)
    third_W1 = (counts_W1 // 3).clamp(min=1)
    place_T = torch.arange(mask_WT.shape[1], device=mask_WT.device)
    first_WT1 = (place_T < third_W1).unsqueeze(-1)
    last_WT1 = ((place_T >= counts_W1 - third_W1) & mask_WT).unsqueeze(-1)
    drift_WD = ((real_WTD * last_WT1).sum(1) - (real_WTD * first_WT1).sum(1)) / third_W1
    parts = [mean_WD, deviation_WD, *_quantiles(frames_WTD, mask_WT1), step_WD, drift_WD]
    return torch.cat(parts, dim=-1)


def _quantiles(frames_WTD: Tensor, mask_WT1: Tensor) -> list[Tensor]:
    """(W, D) for each of `QUANTILES`: the nearest of the sorted real values."""
    sorted_WTD = frames_WTD.masked_fill(~mask_WT1, torch.inf).sort(dim=1).values
    last_W11 = mask_WT1.sum(1, keepdim=True) - 1
    width = frames_WTD.shape[-1]
    return [
        sorted_WTD.gather(1, (last_W11 * share).round().long().expand(-1, -1, width))[:, 0]
        for share in QUANTILES
    ]
