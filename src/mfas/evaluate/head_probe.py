"""How much does the last layer know? Linear heads, for Table 2 of MFAS (arXiv 2306.09361, section 4).

`PooledFrames` and a manifest enter; one `HeadRow` for each readout leaves. The paper does not say
how it compared its encoders, so all of this is a choice: the encoder is frozen; what is read is the
mean of its last layer over each 3-second segment; separate linear heads give the class
(cross-entropy) and raw valence, arousal and dominance (squared error); an utterance is the mean
over its segments, of log-probabilities and of values.

Heads are trained by AdamW, and how many epochs is chosen on held-out training speakers, as is the
penalty of a ridge regression in closed form. A constant (most common class, mean value) shows what
knowing nothing gives. Heads start from a seed; inputs are standardised by the training segments.

Shape legend: U utterances, G segments of all of them, D width, O outputs of a head, V values
(valence, arousal, dominance), R rank.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfas.corpora import Fold, Manifest, make_folds
from mfas.encoders.seeds import initialise
from mfas.evaluate.linear_probe import ProbeResult, score, standardised
from mfas.evaluate.metrics import unweighted_accuracy
from mfas.evaluate.pooling import PooledFrames

VALUES = ("valence", "arousal", "dominance")
SEEDS = (0, 1, 2)
INNER_FRACTION = 0.2  # of the training speakers, held out to choose epochs and penalties
EPOCHS, PATIENCE, BATCH = 300, 10, 64  # 300: small corpora without an encoder need them
LEARNING_RATE = 1e-3
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # times the number of training segments
Readout = Literal["constant", "ridge", "head"]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class ValueScores:
    """Errors of valence, arousal and dominance, by name, pooled over all test utterances.

    predicted_UV: float64, in the manifest's order.
    """

    mse: dict[str, float]
    ccc: dict[str, float]
    predicted_UV: np.ndarray


@dataclass(frozen=True)
class HeadRow:
    """One readout of one encoder. seed: of a head. classes: None for ridge; values: None without."""

    encoder: str
    readout: Readout
    seed: int | None
    classes: ProbeResult | None
    values: ValueScores | None


@dataclass(frozen=True)
class FoldSegments:
    """The segments of one fold. inputs_GD: standardised by `train`; the others are row numbers."""

    inputs_GD: np.ndarray
    train: np.ndarray
    validation: np.ndarray


def head_probe(
    pooled: PooledFrames,
    manifest: Manifest,
    split: str = "lospo",
    seed: int = 0,
    seeds: Sequence[int] = SEEDS,
) -> tuple[HeadRow, ...]:
    """Rows: a constant, ridge (if all utterances have values), and a head for each of `seeds`.

    seed: of the folds. Raises `ManifestError` where speakers, sessions or classes do not suffice.
    """
    folds = make_folds(manifest, split, seed, INNER_FRACTION, "inner")
    cut = _Cut(pooled, manifest, folds, [fold_segments(pooled, fold) for fold in folds])
    readouts: list[tuple[Readout, int | None]] = [("constant", None), ("ridge", None)]
    readouts += [("head", head_seed) for head_seed in seeds]
    rows = [
        HeadRow(
            encoder=pooled.name,
            readout=readout,
            seed=head_seed,
            classes=None if readout == "ridge" else _classes(cut, head_seed),
            values=_values(cut, readout, head_seed),
        )
        for readout, head_seed in readouts
    ]
    return tuple(row for row in rows if row.classes is not None or row.values is not None)


def fold_segments(pooled: PooledFrames, fold: Fold) -> FoldSegments:
    """Inputs of one fold's heads."""
    train = np.flatnonzero(np.isin(pooled.utterance_G, fold.train))
    validation = np.flatnonzero(np.isin(pooled.utterance_G, fold.validation))
    last_GD = pooled.last_GD.astype(float)
    return FoldSegments(standardised(last_GD, last_GD[train]), train, validation)


def train_head(
    segments: FoldSegments, targets_G: Tensor, outputs: int, loss: Loss, seed: int
) -> tuple[np.ndarray, int]:
    """A linear head at the epoch of the lowest loss on `validation`: outputs (G, O), and that epoch.

    targets_G: class numbers (G,), or values (G, O), whose training mean is the first bias: it would
    take AdamW thousands of steps to get there.
    """
    inputs_GD = torch.from_numpy(segments.inputs_GD).float()
    head = nn.Linear(inputs_GD.shape[1], outputs)
    initialise(head, seed)
    if targets_G.is_floating_point():
        head.bias.data = targets_G[segments.train].mean(0)
    lowest, best, chosen = float("inf"), deepcopy(head), 0
    losses = _epochs(head, inputs_GD, targets_G, segments, loss, seed)
    for epoch, missed in enumerate(losses, start=1):
        if missed < lowest:
            lowest, best, chosen = missed, deepcopy(head), epoch
        elif epoch - chosen >= PATIENCE:
            break
    with torch.no_grad():
        return best(inputs_GD).double().numpy(), chosen


def _epochs(
    head: nn.Linear,
    inputs_GD: Tensor,
    targets_G: Tensor,
    segments: FoldSegments,
    loss: Loss,
    seed: int,
) -> Iterator[float]:
    """Train `head` in place; its loss on `validation` after each epoch."""
    optimiser = torch.optim.AdamW(head.parameters(), LEARNING_RATE)
    generator = np.random.default_rng(seed)  # torch's permutations differ between its versions
    for _ in range(EPOCHS):
        for rows in torch.from_numpy(generator.permutation(segments.train)).split(BATCH):
            optimiser.zero_grad()
            loss(head(inputs_GD[rows]), targets_G[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            held_out = segments.validation
            yield float(loss(head(inputs_GD[held_out]), targets_G[held_out]))


def ridge(segments: FoldSegments, targets_GV: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Ridge regression, each value with the penalty that `validation` likes best: (G, V), penalties.

    One singular value decomposition serves all penalties.
    """
    train, validation = segments.train, segments.validation
    mean_V = targets_GV[train].mean(axis=0)
    left_GR, sizes_R, right_RD = np.linalg.svd(segments.inputs_GD[train], full_matrices=False)
    aims_RV = left_GR.T @ (targets_GV[train] - mean_V)
    turned_GR = segments.inputs_GD @ right_RD.T
    shrunk = [sizes_R / (sizes_R**2 + penalty * len(train)) for penalty in PENALTIES]
    guesses_PGV = np.stack([turned_GR @ (f_R[:, None] * aims_RV) + mean_V for f_R in shrunk])
    missed_PV = ((guesses_PGV - targets_GV)[:, validation] ** 2).mean(axis=1)
    best_V = missed_PV.argmin(axis=0)
    outputs_GV = np.take_along_axis(guesses_PGV, best_V[None, None, :], axis=0)[0]
    return outputs_GV, tuple(PENALTIES[best] for best in best_V)


def concordance(true: np.ndarray, predicted: np.ndarray) -> float:
    """Concordance correlation coefficient (Lin 1989); 0 for a constant prediction."""
    covariance = ((true - true.mean()) * (predicted - predicted.mean())).mean()
    apart = true.var() + predicted.var() + (true.mean() - predicted.mean()) ** 2
    return float(2 * covariance / apart) if apart > 0 else 1.0


@dataclass(frozen=True)
class _Cut:
    """A corpus in folds, as every readout needs it."""

    pooled: PooledFrames
    manifest: Manifest
    folds: Sequence[Fold]
    segments: Sequence[FoldSegments]

    def per_utterance(self, outputs_GO: np.ndarray) -> np.ndarray:
        """Mean over the segments of each utterance: (U, O)."""
        sums_UO = np.zeros((len(self.manifest), outputs_GO.shape[1]))
        np.add.at(sums_UO, self.pooled.utterance_G, outputs_GO)
        return sums_UO / np.bincount(self.pooled.utterance_G)[:, None]


def _classes(cut: _Cut, seed: int | None) -> ProbeResult:
    """Predictions of a head from `seed`, or each fold's most common class."""
    names = np.array(cut.manifest.classes)
    labels_U = np.array([u.label for u in cut.manifest])
    numbers_U = np.searchsorted(names, labels_U)
    targets_G = torch.from_numpy(numbers_U[cut.pooled.utterance_G])
    predicted_U = np.empty_like(labels_U)
    fold_ua, epochs = [], []
    for fold, segments in zip(cut.folds, cut.segments, strict=True):
        test = list(fold.test)
        if seed is None:
            predicted_U[test] = names[np.bincount(numbers_U[list(fold.train)]).argmax()]
        else:
            logits_GO, epoch = train_head(segments, targets_G, len(names), F.cross_entropy, seed)
            log_GO = F.log_softmax(torch.from_numpy(logits_GO), dim=1).numpy()
            predicted_U[test] = names[cut.per_utterance(log_GO).argmax(axis=1)[test]]
            epochs.append(epoch)
        fold_ua.append(unweighted_accuracy(list(labels_U[test]), list(predicted_U[test])))
    return score(cut.pooled.name, False, cut.manifest, predicted_U.tolist(), fold_ua, epochs)


def _values(cut: _Cut, readout: Readout, seed: int | None) -> ValueScores | None:
    """Predictions of every fold; None unless all utterances have all values."""
    told = [[getattr(u, name) for name in VALUES] for u in cut.manifest]
    if any(value is None for values in told for value in values):
        return None
    true_UV = np.array(told, dtype=float)
    targets_GV = true_UV[cut.pooled.utterance_G]
    predicted_UV = np.empty_like(true_UV)
    for fold, segments in zip(cut.folds, cut.segments, strict=True):
        if readout == "constant":
            guesses_UV = np.broadcast_to(true_UV[list(fold.train)].mean(axis=0), true_UV.shape)
        elif readout == "ridge":
            guesses_UV = cut.per_utterance(ridge(segments, targets_GV)[0])
        else:
            assert seed is not None, "a head starts from a seed"
            targets = torch.from_numpy(targets_GV).float()
            outputs_GV, _ = train_head(segments, targets, len(VALUES), F.mse_loss, seed)
            guesses_UV = cut.per_utterance(outputs_GV)
        predicted_UV[list(fold.test)] = guesses_UV[list(fold.test)]
    return score_values(true_UV, predicted_UV)


def score_values(true_UV: np.ndarray, predicted_UV: np.ndarray) -> ValueScores:
    """Mean squared error and concordance of each value."""
    missed_V = ((true_UV - predicted_UV) ** 2).mean(axis=0)
    agreed = [concordance(t, p) for t, p in zip(true_UV.T, predicted_UV.T, strict=True)]
    return ValueScores(
        mse=dict(zip(VALUES, missed_V.tolist(), strict=True)),
        ccc=dict(zip(VALUES, agreed, strict=True)),
        predicted_UV=predicted_UV,
    )
