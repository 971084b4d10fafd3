"""A head in closed form: training utterances enter, the solution of their least squares stays.

Kernel ridge regression on one row a window, classes weighted inversely to their frequency:

    (K + penalty W^-1) A = Y          scores of a window: its row of K, times A, plus the prior

What is chosen (the penalty, and by `search` the strategy) is chosen by leaving every training speaker
out in turn. No refit is needed for that: with G = (K + penalty W^-1)^-1, the scores of a group g of
rows that a solution without them gives are Y_g - (G_gg)^-1 A_g (block leave-one-out; Rifkin & Lippert,
"Notes on regularized least squares", 2007). Two things of the group stay in: features are standardised
over all training rows, which uses no labels, and the prior counts the classes of all of them.

Operations with weights keep the random ones they start with (choice): the readout is learned, as in
random-feature machines, the cell is not.

Shape legend: W windows, N training windows, F features, K classes, U utterances.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mfas.encoders.arrays import save_array, stored_array
from mfas.errors import ManifestError
from mfas.heads import KernelRidge, RidgeHead, Voice, gaussian_kernel
from mfas.heads.ridge import SMALLEST_DEVIATION, Condition
from mfas.model import MFAS
from mfas.train.data import SegmentSet, Window
from mfas.train.scores import Scores, scores_of

PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
TEMPERATURES = tuple(float(t) for t in np.geomspace(0.02, 1.0, 18))
STREAMS = ("sec", "tec")
MOST_ROWS = 12_000  # of a kernel matrix; four of them in float64 are 4.3 GiB


@dataclass(frozen=True)
class Pooled:
    """features_WF: of every window. windows: which they are. frames_W: real frames of each."""

    features_WF: Tensor
    windows: tuple[Window, ...]
    frames_W: Tensor

    @property
    def utterances(self) -> list[int]:
        """The utterance of each window."""
        return [window.utterance for window in self.windows]


def pool_utterances(model: MFAS, data: SegmentSet, utterances: Sequence[int]) -> Pooled:
    """What the head of `model` makes of the frames of `utterances`, in their order.

    With a folder for it, all utterances of `data` are pooled at once and kept, SEC and x' apart: folds
    that ask for the same strategy share them, and all strategies share SEC.
    """
    segments = _ridge(model).context_segments
    streams = [name for name in STREAMS if name in model.read]
    windows = data.windows_of(utterances, segments)
    if data.pooled is None:
        parts = [_pool(model, data, windows, stream) for stream in streams]
    else:
        every = data.windows_of(range(len(data.targets_U)), segments)
        row_of = {window: row for row, window in enumerate(every)}
        rows = [row_of[window] for window in windows]
        kept = (_kept(data.pooled, model, data, every, stream) for stream in streams)
        parts = [torch.from_numpy(part_WF[rows]) for part_WF in kept]
    frames_U = data.features.encoded_frames[streams[0]]
    counts = [float(frames_U[w.utterance][w.first : w.first + w.segments].sum()) for w in windows]
    return Pooled(torch.cat(parts, dim=1), tuple(windows), torch.tensor(counts))


def _kept(
    folder: Path, model: MFAS, data: SegmentSet, every: Sequence[Window], stream: str
) -> np.ndarray:
    """Pooled frames of one stream of all windows, float32 (W, F); from the folder, or put there."""
    path = folder / f"{_key(model, data, stream)}.npy"
    stored_WF = stored_array(path, (len(every), None), np.float32)
    if stored_WF is None:
        stored_WF = _pool(model, data, every, stream).numpy()
        save_array(path, stored_WF)
    return stored_WF


def _key(model: MFAS, data: SegmentSet, stream: str) -> str:
    """Changes with the frames, and with whatever the model does to them before its head."""
    before = {"sec": ("projections.sec.",), "tec": ("cell.", "projections.")}[stream]
    read = ("sec",) if stream == "sec" else STREAMS
    digest = hashlib.sha256(f"{stream} {_ridge(model).context_segments}".encode())
    for name in read:
        digest.update(f"{[str(path) for path in data.features.encoded.get(name, ())]}".encode())
    if stream == "tec" and model.cell is not None:
        digest.update(f"{model.cell.only} {model.cell.ism_form}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(before):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


@torch.no_grad()
def _pool(model: MFAS, data: SegmentSet, windows: Sequence[Window], stream: str) -> Tensor:
    """Pooled frames of one stream of some windows, (W, F)."""
    head = _ridge(model)
    was_training = model.training
    model.eval()
    rows: dict[Window, Tensor] = {}
    for batch, chosen in data.windows(windows):
        rows.update(zip(chosen, head.pool(*model.streams(batch, only=stream)), strict=True))
    model.train(was_training)
    return torch.stack([rows[window] for window in windows])


def log_probabilities(
    head: RidgeHead, pooled: Pooled, data: SegmentSet, utterances: Sequence[int]
) -> Tensor:
    """Normalised log-probabilities (U, K) of `utterances` from their windows.

    Plain, or, if the head was solved for voices alone, with the voice of each speaker's windows.
    """
    if head.plain.solved:
        rows_WK = head.classify(pooled.features_WF)
    else:
        rows_WK = torch.empty(len(pooled.windows), len(head.adapted.bias_K))
        for rows, voice in voices(head, pooled, data):
            rows_WK[rows] = head.classify(pooled.features_WF[rows], voice)
    return by_utterance(rows_WK, pooled, utterances)


def by_utterance(rows_WK: Tensor, pooled: Pooled, utterances: Sequence[int]) -> Tensor:
    """The mean of each utterance's windows, weighted by their frames, as log-probabilities (U, K)."""
    place = {utterance: number for number, utterance in enumerate(utterances)}
    row_W = torch.tensor([place[utterance] for utterance in pooled.utterances])
    shape = (len(utterances), rows_WK.shape[1])
    sums_UK = rows_WK.new_zeros(shape).index_add_(
        0, row_W, rows_WK * pooled.frames_W[:, None].to(rows_WK.dtype)
    )
    frames_U = pooled.frames_W.new_zeros(len(utterances)).index_add_(0, row_W, pooled.frames_W)
    return F.log_softmax(sums_UK / frames_U[:, None].to(rows_WK.dtype), dim=-1)


def voices(head: RidgeHead, pooled: Pooled, data: SegmentSet) -> Iterator[tuple[list[int], Voice]]:
    """The rows of each speaker, and the voice that they give together."""
    speakers = [data.speakers[utterance] for utterance in pooled.utterances]
    for speaker in sorted(set(speakers)):
        rows = [row for row, name in enumerate(speakers) if name == speaker]
        yield rows, head.make_voice(pooled.features_WF[rows])


@dataclass(frozen=True)
class Solution:
    """Normalised log-probabilities (U, K) of the training utterances.

    left_out_UK: from the solution without the utterance's group. fitted_UK: from the solution itself.
    """

    penalty: float
    temperature: float
    left_out_UK: Tensor
    fitted_UK: Tensor


def solve_head(
    model: MFAS,
    data: SegmentSet,
    train: Sequence[int],
    balance: bool,
    conditions: Sequence[Condition],
) -> Solution:
    """Solve the head of `model` for `train` in each condition; returns the first solution.

    Raises `ManifestError` for more windows than a kernel matrix can hold.
    """
    head = _ridge(model)
    pooled = pool_utterances(model, data, train)
    if len(pooled.windows) > MOST_ROWS:
        raise ManifestError(
            f"{len(pooled.windows)} windows to train on: a closed-form head takes {MOST_ROWS} at "
            'most; use head.kind = "coattention"'
        )
    _fit_population(head, pooled, data)
    solutions = []
    for condition in conditions:
        features_WF = pooled.features_WF
        if condition == "adapted":
            features_WF = torch.empty_like(features_WF)
            for rows, voice in voices(head, pooled, data):
                features_WF[rows] = voice.standardise(pooled.features_WF[rows])
        ridge = head.plain if condition == "plain" else head.adapted
        solutions.append(_solve(ridge, features_WF, pooled, data, train, balance))
    return solutions[0]


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


def _solve(
    ridge: KernelRidge,
    features_WF: Tensor,
    pooled: Pooled,
    data: SegmentSet,
    train: Sequence[int],
    balance: bool,
) -> Solution:
    """Fill `ridge` with the solution of the penalty that scores best with groups left out."""
    ridge.mean_F = features_WF.mean(0)
    ridge.scale_F = features_WF.std(0, correction=0).clamp(min=SMALLEST_DEVIATION)
    ridge.supports_NF = ridge.standardise(features_WF).half()
    supports_NF = ridge.supports_NF.double()
    kernel_NN = gaussian_kernel(supports_NF, supports_NF)
    targets_N = torch.tensor([data.targets_U[utterance] for utterance in pooled.utterances])
    weights_N = _weights(pooled, data, train, balance)
    targets_NK = F.one_hot(targets_N, data.classes).double()
    prior_K = (targets_NK * weights_N[:, None]).sum(0) / weights_N.sum()
    centred_NK = targets_NK - prior_K
    groups = _groups(pooled, data)
    best: Scores | None = None
    chosen: tuple[float, float, Tensor, Tensor] | None = None
    for penalty in PENALTIES:
        penalised_NN = kernel_NN.clone()
        penalised_NN.diagonal().add_(penalty / weights_N)
        inverse_NN = torch.cholesky_inverse(torch.linalg.cholesky(penalised_NN))
        dual_NK = inverse_NN @ centred_NK
        left_out_NK = torch.empty_like(dual_NK)
        for rows in groups:
            block = inverse_NN[rows][:, rows]
            left_out_NK[rows] = centred_NK[rows] - torch.linalg.solve(block, dual_NK[rows])
        temperature, rows_NK = _tempered(left_out_NK + prior_K, targets_N, weights_N)
        left_out_UK = by_utterance(rows_NK, pooled, train)
        scores = scores_of(left_out_UK, data, train)
        if scores.better_than(best):
            best, chosen = scores, (penalty, temperature, left_out_UK, dual_NK)
    assert chosen is not None, "there is more than one penalty"
    penalty, temperature, left_out_UK, dual_NK = chosen
    ridge.dual_NK, ridge.bias_K = dual_NK.float(), prior_K.float()
    ridge.temperature = torch.tensor(temperature)
    fitted_UK = by_utterance(ridge(features_WF), pooled, train)
    return Solution(penalty, temperature, left_out_UK, fitted_UK)


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


def _ridge(model: MFAS) -> RidgeHead:
    assert isinstance(model.head, RidgeHead), "only a ridge head is solved in closed form"
    return model.head
