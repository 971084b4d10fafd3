"""Numbers that the page shows and result.json does not hold: by class, speaker and candidate.

A `Run` enters; frozen rows leave, in the order in which they are shown. All scores are shares.
UA of a part of the test utterances is the mean recall over the classes which that part holds.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mfas.report.run import Prediction, Run, Search, SearchRun


@dataclass(frozen=True)
class ClassScore:
    """One class; a score is None where nothing was there to be scored."""

    name: str
    n: int
    recall: float | None
    precision: float | None
    f1: float | None


@dataclass(frozen=True)
class SpeakerScore:
    """One test speaker, over all folds the speaker was tested in."""

    speaker: str
    n: int
    ua: float
    wa: float


@dataclass(frozen=True)
class FoldSpread:
    """Mean and standard deviation of a score over folds; no deviation of a single fold."""

    mean: float
    deviation: float | None


@dataclass(frozen=True)
class Candidate:
    """A one-hot path, its inner-validation UA in every search, and how often it was chosen."""

    name: str
    scores: tuple[float, ...]
    mean: float
    chosen: int


@dataclass(frozen=True)
class FoldSearch:
    """One search: its choice, and the UA of the paths it scored; None where it scored none.

    `ua` is that of the strategy, `zero` that of the operation which computes nothing.
    """

    fold: str
    strategy: str
    ua: float | None
    best: str | None
    best_ua: float | None
    mean: float | None
    zero: float | None
    seconds: float


def row_shares(confusion: Sequence[Sequence[int]]) -> np.ndarray:
    """The confusion matrix with rows that sum to 1; the row of an absent class stays 0."""
    counts = np.asarray(confusion, dtype=float)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def class_scores(run: Run) -> tuple[ClassScore, ...]:
    """Recall, precision and F1 of every class, from the confusion matrix."""
    counts = np.asarray(run.result.confusion)
    return tuple(
        ClassScore(
            name,
            n=int(counts[i].sum()),
            recall=_ratio(counts[i, i], counts[i].sum()),
            precision=_ratio(counts[i, i], counts[:, i].sum()),
            f1=_ratio(2 * counts[i, i], counts[i].sum() + counts[:, i].sum()),
        )
        for i, name in enumerate(run.result.classes)
    )


def _ratio(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def speaker_scores(run: Run) -> tuple[SpeakerScore, ...]:
    """UA and WA of every test speaker, lowest UA first."""
    spoken: dict[str, list[Prediction]] = defaultdict(list)
    for prediction in run.predictions:
        spoken[prediction.speaker].append(prediction)
    scores = [
        SpeakerScore(speaker, len(rows), ua=_mean_recall(rows), wa=_accuracy(rows))
        for speaker, rows in spoken.items()
    ]
    return tuple(sorted(scores, key=lambda score: (score.ua, score.speaker)))


def fold_spreads(run: Run) -> dict[str, FoldSpread]:
    """UA and WA ("ua", "wa") over folds: each fold counts once, however many utterances it holds."""
    return {
        name: _spread([getattr(fold, name) for fold in run.result.folds]) for name in ("ua", "wa")
    }


def _spread(values: Sequence[float]) -> FoldSpread:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return FoldSpread(float(np.mean(values)), deviation)


def _accuracy(rows: Sequence[Prediction]) -> float:
    return sum(row.label == row.predicted for row in rows) / len(rows)


def _mean_recall(rows: Sequence[Prediction]) -> float:
    by_class: dict[str, list[Prediction]] = defaultdict(list)
    for row in rows:
        by_class[row.label].append(row)
    return sum(_accuracy(members) for members in by_class.values()) / len(by_class)


def confident_mistakes(run: Run, limit: int = 10) -> tuple[Prediction, ...]:
    """The wrong predictions with the highest probability, highest first."""
    wrong = [row for row in run.predictions if row.label != row.predicted]
    return tuple(sorted(wrong, key=lambda row: (-row.probability, row.file))[:limit])


def candidates(run: SearchRun) -> tuple[Candidate, ...]:
    """Every path that a search scored, best mean first."""
    scored: dict[str, list[float]] = defaultdict(list)
    for search in run.searches:
        for name, score in search.scores.items():
            scored[name].append(score)
    chosen = Counter(str(search.strategy) for search in run.searches if search.strategy)
    rows = [
        Candidate(name, tuple(scores), sum(scores) / len(scores), chosen[name])
        for name, scores in scored.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.mean, row.name)))


def fold_searches(run: SearchRun) -> tuple[FoldSearch, ...]:
    """One row a search, in the order of the folds."""
    return tuple(_fold_search(search) for search in run.searches)


def _fold_search(search: Search) -> FoldSearch:
    scores, strategy = search.scores, str(search.strategy or "no adjustment")
    best = max(scores, key=lambda path: (scores[path], path == strategy), default=None)
    return FoldSearch(
        fold=search.fold,
        strategy=strategy,
        ua=scores.get(strategy),
        best=best,
        best_ua=scores[best] if best else None,
        mean=mean(scores.values()),
        zero=mean(score for path, score in scores.items() if path.endswith(":zero")),
        seconds=search.seconds,
    )


def mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are there; None without any."""
    found = [value for value in values if value is not None]
    return sum(found) / len(found) if found else None


def noise_sd(searches: Sequence[Search]) -> float | None:
    """Standard deviation between scores of paths that are the same function; None without any.

    concat_fc and concat_fc_r of one level differ by the order of their inputs only, so what
    separates their scores is noise of the search. (zero, too, is the same at every level, but a
    mixture scores it identically there, which says nothing of noise.)
    """
    squares = [
        (search.scores[one] - search.scores[other]) ** 2 / 2
        for search in searches
        for one, other in _equals(search)
        if one in search.scores and other in search.scores
    ]
    return float(np.sqrt(np.mean(squares))) if squares else None


def _equals(search: Search) -> list[tuple[str, str]]:
    return [(f"{level}:concat_fc", f"{level}:concat_fc_r") for level in search.levels]
