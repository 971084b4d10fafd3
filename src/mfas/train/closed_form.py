"""A head in closed form: training utterances enter, the solution of their least squares stays.

Kernel ridge regression on one row a window, classes weighted inversely to their frequency:

    (K + penalty W^-1) A = Y          scores of a window: its row of K, times A, plus the prior

What is chosen (the penalty, the temperature, and by `search` the strategy) is chosen by leaving every
training speaker out in turn. No refit is needed for that: with G = (K + penalty W^-1)^-1, the scores of
a group g of rows that a solution without them gives are Y_g - (G_gg)^-1 A_g (block leave-one-out; Rifkin
& Lippert, "Notes on regularized least squares", 2007). Two things of the group stay in: features are
standardised over all training rows, which uses no labels, and the prior counts the classes of all of
them. A caller can name other utterances to choose on: `evaluate` does so for results that are stamped
optimistic.

Operations with weights keep the random ones they start with (choice): the readout is learned, as in
random-feature machines, the cell is not.

Shape legend: W windows, N training windows, F features, K classes, U utterances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mfas.errors import ManifestError
from mfas.heads import KernelRidge, RidgeHead, gaussian_kernel
from mfas.heads.ridge import SMALLEST_DEVIATION, Condition
from mfas.model import MFAS
from mfas.train.data import SegmentSet
from mfas.train.pooled import Pooled, by_utterance, pool_utterances, voices
from mfas.train.scores import Scores, scores_of

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.02, 1.0, 18))
MOST_ROWS = 12_000  # of a kernel matrix; four of them in float64 are 4.3 GiB


@dataclass(frozen=True)
class Solution:
    """Normalised log-probabilities (U, K) of utterances.

    judged_UK: of those that choices were made on: of the training utterances, each from the solution
    without its group, or of others that were named. fitted_UK: of the training utterances.
    """

    penalty: float
    temperature: float
    judged_UK: Tensor
    fitted_UK: Tensor


@dataclass(frozen=True)
class Judged:
    """Windows to learn from or to choose on: features standardised for the condition, and weights."""

    pooled: Pooled
    features_WF: Tensor
    utterances: Sequence[int]
    targets_W: Tensor
    weights_W: Tensor


def solve_head(
    model: MFAS,
    data: SegmentSet,
    train: Sequence[int],
    balance: bool,
    conditions: Sequence[Condition],
    chosen_on: Sequence[int] = (),
) -> Solution:
    """Solve the head of `model` for `train` in each condition; returns the first solution.

    Penalty and temperature are chosen by leaving groups of `train` out, or on `chosen_on` if there are
    any. Raises `ManifestError` for more windows than a kernel matrix can hold.
    """
    head = model.ridge
    pooled = pool_utterances(model, data, train)
    if len(pooled.windows) > MOST_ROWS:
        raise ManifestError(
            f"{len(pooled.windows)} windows to train on: a closed-form head takes {MOST_ROWS} at "
            'most; use head.kind = "coattention"'
        )
    _fit_population(head, pooled, data)
    others = pool_utterances(model, data, chosen_on) if chosen_on else None
    solutions = []
    for condition in conditions:
        learnt = _judged(head, pooled, data, train, balance, condition)
        chosen = None
        if others is not None:
            chosen = _judged(head, others, data, chosen_on, balance, condition)
        ridge = head.plain if condition == "plain" else head.adapted
        solutions.append(_solve(ridge, data, learnt, chosen))
    return solutions[0]


def _judged(
    head: RidgeHead,
    pooled: Pooled,
    data: SegmentSet,
    utterances: Sequence[int],
    balance: bool,
    condition: Condition,
) -> Judged:
    features_WF = pooled.features_WF
    if condition == "adapted":
        features_WF = torch.empty_like(features_WF)
        for rows, voice in voices(head, pooled, data):
            features_WF[rows] = voice.standardise(pooled.features_WF[rows])
    return Judged(
        pooled,
        features_WF,
        utterances,
        torch.tensor([data.targets_U[utterance] for utterance in pooled.utterances]),
        _weights(pooled, data, utterances, balance),
    )


def _fit_population(head: RidgeHead, pooled: Pooled, data: SegmentSet) -> None:
    """Mean of all windows, and their deviation within a speaker."""
    features_WF = pooled.features_WF
    speakers = [data.speakers[utterance] for utterance in pooled.utterances]
    names = sorted(set(speakers))
    own_W = torch.tensor([names.index(name) for name in speakers])
    counts_S = torch.bincount(own_W, minlength=len(names)).float()
    sums_SF = features_WF.new_zeros(len(names), features_WF.shape[1]).index_add_(
        0, own_W, features_WF
    )
    within_WF = features_WF - (sums_SF / counts_S[:, None])[own_W]
    head.population_mean_F = features_WF.mean(0)
    head.population_deviation_F = within_WF.square().mean(0).sqrt()


def _solve(ridge: KernelRidge, data: SegmentSet, learnt: Judged, others: Judged | None) -> Solution:
    """Fill `ridge` with the solution of the penalty that scores best with groups of `learnt` left out.

    With `others`, the one that scores best on them.
    """
    ridge.mean_F = learnt.features_WF.mean(0)
    ridge.scale_F = learnt.features_WF.std(0, correction=0).clamp(min=SMALLEST_DEVIATION)
    ridge.supports_NF = ridge.standardise(learnt.features_WF).half()
    kernel_NN = _kernel(ridge, learnt)
    kernel_ON = None if others is None else _kernel(ridge, others)
    targets_NK = F.one_hot(learnt.targets_W, data.classes).double()
    prior_K = (targets_NK * learnt.weights_W[:, None]).sum(0) / learnt.weights_W.sum()
    centred_NK = targets_NK - prior_K
    judged = others or learnt
    best: Scores | None = None
    chosen: tuple[float, float, Tensor, Tensor] | None = None
    for penalty in PENALTIES:
        inverse_NN = _inverse(kernel_NN, penalty / learnt.weights_W)
        dual_NK = inverse_NN @ centred_NK
        if kernel_ON is None:
            scores_WK = _left_out(inverse_NN, dual_NK, centred_NK, _groups(learnt.pooled, data))
        else:
            scores_WK = kernel_ON @ dual_NK
        temperature, rows_WK = _tempered(scores_WK + prior_K, judged.targets_W, judged.weights_W)
        judged_UK = by_utterance(rows_WK, judged.pooled, judged.utterances)
        scores = scores_of(judged_UK, data, judged.utterances)
        if scores.better_than(best):
            best, chosen = scores, (penalty, temperature, judged_UK, dual_NK)
    assert chosen is not None, "there is more than one penalty"
    penalty, temperature, judged_UK, dual_NK = chosen
    ridge.dual_NK, ridge.bias_K = dual_NK.float(), prior_K.float()
    ridge.temperature = torch.tensor(temperature)
    fitted_UK = by_utterance(ridge(learnt.features_WF), learnt.pooled, learnt.utterances)
    return Solution(penalty, temperature, judged_UK, fitted_UK)


def _kernel(ridge: KernelRidge, judged: Judged) -> Tensor:
    """Likeness of windows to the training windows, float64 (W, N)."""
    rows_WF = ridge.standardise(judged.features_WF).double()
    return gaussian_kernel(rows_WF, ridge.supports_NF.double())


def _inverse(kernel_NN: Tensor, penalties_N: Tensor) -> Tensor:
    penalised_NN = kernel_NN.clone()
    penalised_NN.diagonal().add_(penalties_N)
    return torch.cholesky_inverse(torch.linalg.cholesky(penalised_NN))


def _left_out(
    inverse_NN: Tensor, dual_NK: Tensor, centred_NK: Tensor, groups: Sequence[list[int]]
) -> Tensor:
    """Scores (N, K), less the prior, of each group by the solution without it."""
    left_out_NK = torch.empty_like(dual_NK)
    for rows in groups:
        block = inverse_NN[rows][:, rows]
        left_out_NK[rows] = centred_NK[rows] - torch.linalg.solve(block, dual_NK[rows])
    return left_out_NK


def _weights(pooled: Pooled, data: SegmentSet, train: Sequence[int], balance: bool) -> Tensor:
    """float64 (N,), mean 1: each utterance as much as its class asks, shared by its windows."""
    classes_K = data.class_weights(train, balance).double()
    utterances = pooled.utterances
    frames: dict[int, float] = {}
    for utterance, count in zip(utterances, pooled.frames_W.tolist(), strict=True):
        frames[utterance] = frames.get(utterance, 0.0) + count
    shares_N = [
        count / frames[u] for u, count in zip(utterances, pooled.frames_W.tolist(), strict=True)
    ]
    weights_N = classes_K[[data.targets_U[u] for u in utterances]] * torch.tensor(shares_N).double()
    return weights_N / weights_N.mean()


def _groups(pooled: Pooled, data: SegmentSet) -> list[list[int]]:
    """The rows of each group; of each utterance, where all are of one group."""
    names: list[object] = [data.groups[utterance] for utterance in pooled.utterances]
    if len(set(names)) < 2:
        names = list(pooled.utterances)
    rows: dict[object, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return list(rows.values())


def _tempered(scores_NK: Tensor, targets_N: Tensor, weights_N: Tensor) -> tuple[float, Tensor]:
    """The temperature at which scores are the best log-odds, and the log-probabilities it gives."""
    losses = []
    for temperature in TEMPERATURES:
        rows_NK = F.log_softmax(scores_NK / temperature, dim=-1)
        losses.append(float((F.nll_loss(rows_NK, targets_N, reduction="none") * weights_N).mean()))
    temperature = TEMPERATURES[int(np.argmin(losses))]
    return temperature, F.log_softmax(scores_NK / temperature, dim=-1)
