"""What a frozen encoder is worth, by every probe: one side of a row of Table 2, as JSON.

Heads on the last layer are what Table 2 of MFAS (arXiv 2306.09361) compares (`head_probe`); the
linear SVM on all layers, plain and adapted, stands beside them (`linear_probe`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mfas.corpora import Manifest
from mfas.evaluate.bootstrap import bootstrap_intervals
from mfas.evaluate.head_probe import VALUES, HeadRow, ValueScores, head_probe
from mfas.evaluate.linear_probe import ProbeResult, linear_probe
from mfas.evaluate.metrics import unweighted_accuracy, weighted_accuracy
from mfas.evaluate.pooling import PooledFrames


@dataclass(frozen=True)
class Probes:
    """All probes of one encoder on one corpus. heads: as `head_probe` gives them."""

    heads: tuple[HeadRow, ...]
    plain: ProbeResult
    adapted: ProbeResult


def run_probes(
    pooled: PooledFrames, manifest: Manifest, split: str = "lospo", seed: int = 0
) -> Probes:
    """Every probe on the same folds. Raises the errors of `head_probe`."""
    return Probes(
        heads=head_probe(pooled, manifest, split, seed),
        plain=linear_probe(pooled, manifest, adapted=False, split=split, seed=seed),
        adapted=linear_probe(pooled, manifest, adapted=True, split=split, seed=seed),
    )


def table2_probe(
    pooled: PooledFrames, manifest: Manifest, split: str = "lospo", seed: int = 0
) -> dict[str, Any]:
    """What `run_probes` finds, as JSON.

    ua, wa, ua_ci95, wa_ci95: of the heads, means over their seeds. seeds_ua: of each. svm: the same
    of the linear SVM, `plain` and `adapted`. vad: lists in the order valence, arousal, dominance
    (mse and ccc of the heads, means over seeds; ridge_mse, ridge_ccc; mean_mse, of the mean
    predictor), or None. predicted: numbers of `classes`, one list for each seed or SVM, in the
    order of the manifest, for paired comparisons.
    """
    probes = run_probes(pooled, manifest, split, seed)
    heads = [row.classes for row in probes.heads if row.readout == "head" and row.classes]
    return {
        "split": split,
        "seed": seed,
        "classes": list(manifest.classes),
        **_over_seeds(manifest, heads),
        "seeds_ua": [head.ua for head in heads],
        "svm": {
            "plain": _over_seeds(manifest, [probes.plain]),
            "adapted": _over_seeds(manifest, [probes.adapted]),
        },
        "vad": _values(probes.heads),
    }


def _over_seeds(manifest: Manifest, results: Sequence[ProbeResult]) -> dict[str, Any]:
    """All seeds' predictions together: their UA is the mean of the seeds' UAs, and so is WA.

    A resampled speaker brings along what every seed said of them.
    """
    times = len(results)
    true = [u.label for u in manifest] * times
    speakers = [u.speaker for u in manifest] * times
    predicted = [label for result in results for label in result.predicted]
    ua_ci95, wa_ci95 = bootstrap_intervals(true, predicted, speakers)
    number = {name: i for i, name in enumerate(manifest.classes)}
    return {
        "ua": unweighted_accuracy(true, predicted),
        "wa": weighted_accuracy(true, predicted),
        "ua_ci95": [ua_ci95.low, ua_ci95.high],
        "wa_ci95": [wa_ci95.low, wa_ci95.high],
        "predicted": [[number[label] for label in result.predicted] for result in results],
    }


def _values(rows: Sequence[HeadRow]) -> dict[str, list[float]] | None:
    """Valence, arousal and dominance by every readout; None where the corpus does not tell them."""
    by_readout: dict[str, list[ValueScores]] = {}
    for row in rows:
        if row.values is not None:
            by_readout.setdefault(row.readout, []).append(row.values)
    if not by_readout:
        return None

    def mean(readout: str, score: str) -> list[float]:
        told = [getattr(values, score) for values in by_readout[readout]]
        return [float(np.mean([scores[name] for scores in told])) for name in VALUES]

    return {
        "mse": mean("head", "mse"),
        "ccc": mean("head", "ccc"),
        "ridge_mse": mean("ridge", "mse"),
        "ridge_ccc": mean("ridge", "ccc"),
        "mean_mse": mean("constant", "mse"),
    }
