"""How well a guess tells the centre of a masked frame from other centres.

Similarities (cosine / temperature) enter, the loss of every masked frame leaves. A negative that is
the same vector as the positive does not count.

- `bce` (MFAS, arXiv 2306.09361, section 4): binary cross-entropy of the positive against 1, plus the
  mean of that of the negatives against 0. So both sides weigh the same, however many negatives there
  are (choice), and a guess that knows nothing pays 2 ln 2.
- `infonce` (wav2vec 2.0, arXiv 2006.11477, equation 3): cross-entropy over positive and negatives.

Shape legend: B crops, M masked frames of a crop, C candidates, S sampled negatives.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Candidates:
    """Similarities of guesses, float32. positive_BM: to their own centre. others_BMC: to candidates.

    times_BMC: how often each candidate counts as a negative of each frame; often 0.
    """

    positive_BM: Tensor
    others_BMC: Tensor
    times_BMC: Tensor


def contrast(candidates: Candidates, loss: Literal["bce", "infonce"]) -> Tensor:
    """The loss of every masked frame (B, M); finite even where there are no negatives."""
    positive_BM, times_BMC = candidates.positive_BM, candidates.times_BMC
    if loss == "bce":
        taken_BM = (F.softplus(candidates.others_BMC) * times_BMC).sum(-1)
        return F.softplus(-positive_BM) + taken_BM / times_BMC.sum(-1).clamp(min=1)
    against_BMC = _negatives(candidates) + times_BMC.clamp(min=1).log()
    return F.softplus(against_BMC.logsumexp(-1) - positive_BM)


def found(candidates: Candidates) -> Tensor:
    """Bool (B, M): whether the positive is the most similar; where there are no negatives, it is not.

    So codebooks that have collapsed to one codeword do not look accurate.
    """
    best_BM = _negatives(candidates).amax(-1)
    return (candidates.positive_BM > best_BM) & (candidates.times_BMC.sum(-1) > 0)


def times_drawn(uniform_BMS: Tensor, counts_BM: Tensor) -> Tensor:
    """How often each frame is drawn as a negative of each: float32 (B, M, M); never of itself.

    uniform_BMS: from [0, 1), one for each negative: it picks one of the other frames of its row that
    count, all as likely. counts_BM: 1 for frames that count, which come first, then 0.
    """
    frames = counts_BM.shape[1]
    others_B11 = (counts_BM.sum(1)[:, None, None] - 1).clamp(min=0)
    picked_BMS = (uniform_BMS * others_B11).long()
    own_M1 = torch.arange(frames, device=counts_BM.device)[:, None]
    picked_BMS = (picked_BMS + (picked_BMS >= own_M1)).clamp(0, frames - 1)
    times_BMM = torch.zeros(*counts_BM.shape, frames, device=counts_BM.device)
    times_BMM.scatter_add_(2, picked_BMS, torch.ones_like(uniform_BMS))
    return times_BMM * (others_B11 > 0)


def _negatives(candidates: Candidates) -> Tensor:
    """Similarities to the negatives; a very low one, but finite, to candidates that are none."""
    lowest = torch.finfo(torch.float32).min / 4
    return candidates.others_BMC.masked_fill(candidates.times_BMC == 0, lowest)
