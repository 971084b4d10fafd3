"""A sign that a model has stopped telling its inputs apart: its features span few directions.

Shape legend: N frames, D width.
"""

import torch
from torch import Tensor


@torch.no_grad()
def effective_rank(features_ND: Tensor) -> Tensor:
    """How many directions the features spread over: (sum of eigenvalues)^2 / sum of their squares.

    Of their covariance, from 1 to min(N - 1, D): the participation ratio. It needs no decomposition,
    so it can be watched at every update. 0 if all features are the same.
    """
    centred_ND = features_ND.float() - features_ND.float().mean(dim=0)
    with torch.autocast(features_ND.device.type, enabled=False):
        covariance_DD = centred_ND.T @ centred_ND
    tiny = torch.finfo(torch.float32).tiny
    shares_DD = covariance_DD / covariance_DD.trace().clamp(min=tiny)
    return shares_DD.trace() / shares_DD.square().sum().clamp(min=tiny)
