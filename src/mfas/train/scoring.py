"""A model's opinion of utterances: the mean of their segments' log-probabilities (paper section 3).

Shape legend: U utterances, K classes, B segments of a batch.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mfas.heads import RidgeHead
from mfas.model import MFAS
from mfas.train.data import SegmentSet
from mfas.train.pooled import log_probabilities, pool_utterances
from mfas.train.scores import Scores, scores_of


@torch.no_grad()
def utterance_log_probabilities(
    model: MFAS,
    data: SegmentSet,
    utterances: Sequence[int],
    batch: int = 32,
    level: str | None = None,
    operation: str | None = None,
) -> Tensor:
    """Normalised log-probabilities (U, K) of `utterances`, in their order.

    A head in closed form reads windows of several segments instead; in its adapted condition, the
    recordings of one speaker among `utterances` make that speaker's voice.
    """
    if isinstance(model.head, RidgeHead):
        assert level is None and operation is None, "a closed-form head has no mixture"
        return log_probabilities(
            model.head, pool_utterances(model, data, utterances), data, utterances
        )
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
    """Scores of `model` on `utterances`; arguments as of `utterance_log_probabilities`."""
    return scores_of(
        utterance_log_probabilities(model, data, utterances, batch, level, operation),
        data,
        utterances,
    )
