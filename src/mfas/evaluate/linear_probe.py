"""How well does a linear readout of a frozen encoder recognise emotion, for speakers it never saw?

`PooledFrames` and a manifest enter, a `ProbeResult` leaves. Nothing is chosen on a test speaker:
the SVM's C is chosen by cross-validation over groups of training speakers.

Two conditions, never mixed up:

- plain: features are standardised by the statistics of the training utterances;
- adapted: before that, each speaker's features are brought to zero mean and unit variance over
  their own utterances. That needs no labels, but it does need a test speaker's recordings.

This is what decides which of our encoders we ship.

Choices: mean and standard deviation of every output side by side; SVM with a linear kernel, one
against one, classes weighted inversely to their size because UA is what C is chosen by.

Shape legend: U utterances, V training utterances, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.svm import SVC

from mfas.corpora import Manifest, make_folds
from mfas.errors import ModelError
from mfas.evaluate.bootstrap import Interval, bootstrap_intervals
from mfas.evaluate.metrics import unweighted_accuracy, weighted_accuracy
from mfas.evaluate.pooling import PooledFrames

GRID = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # C, for a kernel that is divided by F
INNER_PARTS = 5  # groups of training speakers at most
_CONSTANT = 1e-6  # a feature that varies less than this is left unscaled


@dataclass(frozen=True)
class ProbeResult:
    """Scores in 0..1, pooled over all test utterances; intervals resample speakers.

    adapted: whether the unlabelled recordings of the test speakers were used. fold_ua, chosen: of
    each fold; chosen is C, or the number of epochs (see `head_probe`). predicted: of each utterance, in
    the manifest's order, so that two probes can be compared in pairs.
    """

    encoder: str
    adapted: bool
    ua: float
    wa: float
    ua_ci95: Interval
    wa_ci95: Interval
    fold_ua: tuple[float, ...]
    chosen: tuple[float, ...]
    predicted: tuple[str, ...]


def linear_probe(
    pooled: PooledFrames,
    manifest: Manifest,
    adapted: bool,
    layers: Sequence[str] = (),
    split: str = "lospo",
    seed: int = 0,
) -> ProbeResult:
    """Test a linear SVM on every fold of `split`. layers: names in `pooled.layers`, or all.

    seed: of the groups of training speakers that C is chosen on (it matters where several speakers
    have as many utterances); the SVM itself has no chance in it. Raises `ModelError` for a layer
    that there is not, `ManifestError` where speakers or classes do not suffice.
    """
    features_UF = utterance_features(pooled, layers)
    return probe_features(pooled.name, features_UF, manifest, adapted, split, seed)


def probe_features(
    name: str,
    features_UF: np.ndarray,
    manifest: Manifest,
    adapted: bool,
    split: str = "lospo",
    seed: int = 0,
) -> ProbeResult:
    """`linear_probe` of any features, float64 (U, F), one row an utterance of `manifest`, in its order."""
    if adapted:
        features_UF = per_speaker(features_UF, [u.speaker for u in manifest])
    labels_U = np.array([u.label for u in manifest])
    predicted_U = np.empty_like(labels_U)
    chosen, fold_ua = [], []
    for fold in make_folds(manifest, split, seed, 0.0, "paper"):  # its choices are made below
        train, test = list(fold.train), list(fold.test)
        training = Manifest(tuple(manifest.utterances[i] for i in train))
        c = choose_c(features_UF[train], training, split, seed)
        predicted_U[test] = _classify(features_UF, labels_U, train, test, [c])[0]
        chosen.append(c)
        fold_ua.append(unweighted_accuracy(list(labels_U[test]), list(predicted_U[test])))
    return score(name, adapted, manifest, predicted_U.tolist(), fold_ua, chosen)


def choose_c(features_VF: np.ndarray, training: Manifest, split: str, seed: int) -> float:
    """The C of `GRID` with the best UA over groups of `training`'s speakers (sessions for `loso`).

    The smallest of equals. It is given the training utterances alone, so it cannot see others.
    """
    labels_V = np.array([u.label for u in training])
    predicted_CV = np.empty((len(GRID), len(labels_V)), dtype=labels_V.dtype)
    parts = split if split == "loso" else f"groups:{min(INNER_PARTS, len(training.speakers))}"
    for fold in make_folds(training, parts, seed, 0.0, "paper"):
        train, held_out = list(fold.train), list(fold.test)
        predicted_CV[:, held_out] = _classify(features_VF, labels_V, train, held_out, GRID)
    scores = [unweighted_accuracy(list(labels_V), list(row_V)) for row_V in predicted_CV]
    return GRID[int(np.argmax(scores))]


def utterance_features(pooled: PooledFrames, layers: Sequence[str] = ()) -> np.ndarray:
    """Means and standard deviations of the named layers (of all) side by side, float64 (U, F)."""
    unknown = sorted(set(layers) - set(pooled.layers))
    if unknown:
        known = ", ".join(pooled.layers)
        raise ModelError(f"{pooled.name}: has no layer {unknown[0]}; choose from {known}")
    rows = [pooled.layers.index(name) for name in layers or pooled.layers]
    return pooled.statistics_ULSD[:, rows].reshape(len(pooled.statistics_ULSD), -1).astype(float)


def per_speaker(features_UF: np.ndarray, speakers: Sequence[str]) -> np.ndarray:
    """Zero mean and unit variance over the utterances of each speaker; one utterance gives zeros."""
    adapted_UF = np.empty_like(features_UF)
    for speaker in sorted(set(speakers)):
        own_U = np.array(speakers) == speaker
        adapted_UF[own_U] = standardised(features_UF[own_U], features_UF[own_U])
    return adapted_UF


def standardised(features_UF: np.ndarray, reference_VF: np.ndarray) -> np.ndarray:
    """`features_UF` in units of `reference_VF`'s mean and standard deviation."""
    deviation_F = reference_VF.std(axis=0)
    scale_F = np.where(deviation_F > _CONSTANT, deviation_F, 1)
    return (features_UF - reference_VF.mean(axis=0)) / scale_F


def _classify(
    features_UF: np.ndarray,
    labels_U: np.ndarray,
    train: Sequence[int],
    test: Sequence[int],
    grid: Sequence[float],
) -> np.ndarray:
    """Labels of `test` for every C of `grid`, by SVMs that saw `train`: (C, test)."""
    scaled_UF = standardised(features_UF, features_UF[train])
    kernel_UV = scaled_UF @ scaled_UF[train].T / scaled_UF.shape[1]
    predicted = []
    for c in grid:
        machine = SVC(C=c, kernel="precomputed", class_weight="balanced")
        machine.fit(kernel_UV[train], labels_U[train])
        predicted.append(machine.predict(kernel_UV[test]))
    return np.array(predicted)


def score(
    encoder: str,
    adapted: bool,
    manifest: Manifest,
    predicted: Sequence[str],
    fold_ua: Sequence[float],
    chosen: Sequence[float],
) -> ProbeResult:
    """Scores of what was `predicted` for each utterance of `manifest`."""
    true, speakers = [u.label for u in manifest], [u.speaker for u in manifest]
    ua_ci95, wa_ci95 = bootstrap_intervals(true, predicted, speakers)
    return ProbeResult(
        encoder=encoder,
        adapted=adapted,
        ua=unweighted_accuracy(true, predicted),
        wa=weighted_accuracy(true, predicted),
        ua_ci95=ua_ci95,
        wa_ci95=wa_ci95,
        fold_ua=tuple(fold_ua),
        chosen=tuple(chosen),
        predicted=tuple(predicted),
    )
