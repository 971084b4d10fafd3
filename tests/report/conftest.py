"""A plausible run folder, made of seeded random numbers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfas.storage import read_json, sha256_of_bytes, write_csv, write_json, write_text

LEVELS = ["first", "middle", "last"]
OPERATIONS = [
    "zero", "sum", "attention", "attention_r", "concat_fc", "concat_fc_r", "ism", "ism_r",
]  # fmt: skip
CLASSES = ["anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise"]


def make_run(
    folder: Path,
    *,
    seed: int = 0,
    classes: list[str] = CLASSES,
    folds: int = 5,
    method: str | None = "darts",
    each: int = 4,
    skill: float = 2.0,
    **result: Any,
) -> Path:
    """Write a run folder; `result` overrides keys of result.json. `method` None: no adjustment."""
    generator = np.random.default_rng(seed)
    fold_names = list(range(folds))
    predictions = _predictions(generator, classes, fold_names, each, skill)
    strategies = [_search(generator, fold, method) for fold in fold_names]
    write_csv(folder / "predictions.csv", list(predictions[0]), predictions)
    write_json(folder / "strategies.json", strategies)
    write_json(folder / "result.json", _result(classes, predictions, strategies) | result)
    write_json(
        folder / "environment.json",
        {"mfas": "0.1.0", "python": "3.11.7", "torch": "2.9.0", "cpu": "AMD EPYC", "cores": 2,
         "device": "cpu"},
    )  # fmt: skip
    write_json(folder / "folds.json", [])
    write_text(folder / "recipe.toml", 'name = "emodb-compact"\n\n[evaluate]\nsplit = "lospo"\n')
    lines = [json.dumps(line) for fold in fold_names for line in _log(generator, fold, method)]
    write_text(folder / "log.jsonl", "\n".join(lines) + "\n")
    return folder


def make_search(folder: Path, *, method: str | None = "darts", **conditions: Any) -> Path:
    """Write the folder of a search alone; `conditions` overrides keys of search.json."""
    make_run(
        folder, method=method, folds=conditions.pop("folds", 3), seed=conditions.pop("seed", 0)
    )
    result = read_json(folder / "result.json")
    for name in ("result.json", "predictions.csv"):
        (folder / name).unlink()
    kept = ("name", "protocol", "selection", "honest", "leaks", "n_utterances", "classes", "seeds",
            "encoders", "peak_rss_mb", "notes")  # fmt: skip
    write_json(folder / "search.json", {key: result[key] for key in kept} | conditions)
    log = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    write_text(folder / "log.jsonl", "\n".join(line for line in log if '"train"' not in line))
    return folder


def _predictions(
    generator: np.random.Generator, classes: list[str], folds: list[int], each: int, skill: float
) -> list[dict[str, Any]]:
    rows = []
    for fold in folds:
        for speaker in (f"{2 * fold + 3:02d}", f"{2 * fold + 4:02d}"):
            for i, label in enumerate(classes * each):
                logits = generator.normal(size=len(classes))
                logits[i % len(classes)] += skill
                shares = np.exp(logits) / np.exp(logits).sum()
                row = {"fold": fold, "file": f"wav/{speaker}a{i:02d}.wav", "speaker": speaker}
                row |= {"label": label, "predicted": classes[int(shares.argmax())]}
                rows.append(
                    row
                    | {f"p_{c}": round(float(p), 6) for c, p in zip(classes, shares, strict=True)}
                )
    return rows


def _search(generator: np.random.Generator, fold: int, method: str | None) -> dict[str, Any]:
    logits = generator.normal(size=(3, 8)) + 1.5 * (np.arange(8) == 6)
    weights = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    scores = {
        f"{level}:{name}": round(float(0.5 + 0.02 * i + generator.normal() * 0.05), 4)
        for i, level in enumerate(LEVELS)
        for name in OPERATIONS
    }
    operation = OPERATIONS[int(weights[2].argmax())]
    searched = method not in ("fixed", None)
    return {
        "fold": fold,
        "seed": 0,
        "method": method or "fixed",
        "strategy": {"level": "last", "operation": operation} if method else None,
        "levels": LEVELS,
        "operations": OPERATIONS,
        "weights": weights.tolist() if method == "darts" else None,
        "scores": scores if searched else {},
        "trajectory": [weights.tolist()] if method == "darts" else [],
        "seconds": 12.5,
    }


def _log(generator: np.random.Generator, fold: int, method: str | None) -> list[dict[str, Any]]:
    lines = []
    for stage, epochs in (("search", 8 if method == "darts" else 0), ("train", 16)):
        for epoch in range(epochs):
            ua = 0.7 - 0.4 * np.exp(-epoch / 4) + generator.normal() * 0.03
            loss = 1.9 * np.exp(-epoch / 9) + generator.normal() * 0.03
            lines.append(
                {"time": "2026-11-05T10:00:00Z", "fold": fold, "stage": stage, "epoch": epoch,
                 "train_loss": loss, "validation_loss": loss + 0.02 * epoch + 0.1,
                 "validation_ua": float(np.clip(ua, 0, 1)), "seconds": 1.1}
            )  # fmt: skip
    return lines


def _result(
    classes: list[str], rows: list[dict[str, Any]], strategies: list[dict[str, Any]]
) -> dict[str, Any]:
    confusion = np.zeros((len(classes), len(classes)), dtype=int)
    for row in rows:
        confusion[classes.index(row["label"]), classes.index(row["predicted"])] += 1
    recalls = confusion.diagonal() / confusion.sum(axis=1)
    ua = float(recalls.mean())
    folds = []
    for found in strategies:
        own = [row for row in rows if row["fold"] == found["fold"]]
        score = sum(row["label"] == row["predicted"] for row in own) / len(own)
        speakers = sorted({row["speaker"] for row in own})
        folds.append(
            {"fold": found["fold"], "test_speakers": speakers, "n": len(own), "ua": score,
             "wa": score, "strategy": found["strategy"]}
        )  # fmt: skip
    encoder = {"name": "compact", "trained": True, "finetuned": False, "fingerprint": "ab" * 32}
    return {
        "name": "emodb-compact", "protocol": "groups:5", "selection": "inner", "honest": True,
        "leaks": [], "n_utterances": len(rows), "classes": classes, "ua": ua, "wa": ua,
        "macro_f1": ua - 0.01, "ua_ci95": [max(0, ua - 0.05), min(1, ua + 0.04)],
        "wa_ci95": [max(0, ua - 0.05), min(1, ua + 0.04)], "folds": folds,
        "confusion": confusion.tolist(), "seeds": [0],
        "manifest_sha256": sha256_of_bytes(b"manifest"), "folds_sha256": sha256_of_bytes(b"folds"),
        "seconds": 512.4, "peak_rss_mb": 1834.2, "encoders": {"sec": encoder, "tec": encoder},
        "notes": [], "files": {"predictions.csv": "cd" * 32},
    }  # fmt: skip


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder under the test's folder: `run_folder("name", folds=1, ...)`."""

    def write(folder: str = "run", /, **choices: Any) -> Path:
        return make_run(tmp_path / folder, **choices)

    return write


@pytest.fixture
def search_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write the folder of a search alone under the test's folder, as `run_folder` does."""

    def write(folder: str = "search", /, **choices: Any) -> Path:
        return make_search(tmp_path / folder, **choices)

    return write
