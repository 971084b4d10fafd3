"""How right log-probabilities of utterances are.

Shape legend: U utterances, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mfas.train.data import SegmentSet


@dataclass(frozen=True)
class Scores:
    """UA and WA in 0..1, and the mean negative log-likelihood of the utterances."""

    ua: float
    wa: float
    loss: float

    def better_than(self, other: "Scores | None") -> bool:
        """Higher UA, or the same UA with less loss."""
        return other is None or (self.ua, -self.loss) > (other.ua, -other.loss)


def scores_of(log_probabilities_UK: Tensor, data: SegmentSet, utterances: Sequence[int]) -> Scores:
    """Scores of normalised log-probabilities; UA is the mean recall over the classes present."""
    targets_U = torch.tensor([data.targets_U[u] for u in utterances])
    correct_U = (log_probabilities_UK.argmax(dim=-1) == targets_U).float()
    recalls = [correct_U[targets_U == k].mean().item() for k in targets_U.unique()]
    return Scores(
        ua=sum(recalls) / len(recalls),
        wa=correct_U.mean().item(),
        loss=F.nll_loss(log_probabilities_UK, targets_U).item(),
    )
