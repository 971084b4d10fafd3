"""A model's opinion of utterances: the mean of their segments' log-probabilities (paper section 3).

Shape legend: U utterances, K classes, B segments of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mfas.model import MFAS
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


@torch.no_grad()
def utterance_log_probabilities(
    model: MFAS,
    data: SegmentSet,
    utterances: Sequence[int],
    batch: int = 32,
    level: str | None = None,
    operation: str | None = None,
) -> Tensor:
    """Normalised log-probabilities (U, K) of `utterances`, in their order."""
    device = next(model.head.parameters()).device
    row_of = {utterance: row for row, utterance in enumerate(utterances)}
    sums_UK = torch.zeros(len(utterances), data.classes)
    was_training = model.training
    model.eval()
    for segments, _, ids in data.batches(utterances, batch):
        log_probabilities_BK = model(segments.to(device), level, operation).float().cpu()
        sums_UK.index_add_(0, torch.tensor([row_of[u] for u, _ in ids]), log_probabilities_BK)
    model.train(was_training)
    counts_U = torch.tensor([data.features.segment_counts[u] for u in utterances])
    return F.log_softmax(sums_UK / counts_U.unsqueeze(-1), dim=-1)


def score_utterances(
    model: MFAS,
    data: SegmentSet,
    utterances: Sequence[int],
    batch: int = 32,
    level: str | None = None,
    operation: str | None = None,
) -> Scores:
    """Scores of `model` on `utterances`; UA is the mean recall over the classes present."""
    log_probabilities_UK = utterance_log_probabilities(
        model, data, utterances, batch, level, operation
    )
    targets_U = torch.tensor([data.targets_U[u] for u in utterances])
    correct_U = (log_probabilities_UK.argmax(dim=-1) == targets_U).float()
    recalls = [correct_U[targets_U == k].mean().item() for k in targets_U.unique()]
    return Scores(
        ua=sum(recalls) / len(recalls),
        wa=correct_U.mean().item(),
        loss=F.nll_loss(log_probabilities_UK, targets_U).item(),
    )
