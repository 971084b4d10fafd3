"""The leakage guard: what training or selection shares with the test utterances of its fold.

Folds enter; one `Leak` for each kind of overlap leaves, and `guard` refuses to go on with any,
unless the recipe says so: such results are then stamped optimistic. On EMO-DB one fixed classifier
gains 5.8 points of unweighted accuracy from a speaker-mixing split alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mfas.corpora.folds import Fold
from mfas.corpora.manifest import Manifest, Utterance
from mfas.errors import LeakageError

Key = Callable[[int], str | None]


@dataclass(frozen=True)
class Leak:
    """One kind of overlap in one fold; `detail` names an example and how many there are.

    kind: "speaker", "session", "audio" (the same samples), "text", or "validation" (choices are
    made on test utterances), or "split" (random folds, whoever speaks). between: "train/test" or
    "validation/test".
    """

    kind: Literal["speaker", "session", "audio", "text", "validation", "split"]
    fold: str
    between: Literal["train/test", "validation/test"]
    detail: str


def find_leaks(
    manifest: Manifest,
    folds: Sequence[Fold],
    split: str,
    audio_hashes: Sequence[str],
    guard_text: bool,
) -> tuple[Leak, ...]:
    """Compare train and validation with test in every fold.

    audio_hashes: `mfas.audio.audio_sha256` of each utterance, "" where unknown. Sessions are judged
    for `loso` only: in IEMOCAP's `lospo`, the partner of a tested speaker trains, as is accepted.
    Texts are compared (regardless of case and spaces) if `guard_text`. `kfold10` always leaks.
    """
    assert len(audio_hashes) == len(manifest)
    rows = manifest.utterances
    keys: dict[str, Key] = {"speaker": lambda i: rows[i].speaker}
    if split == "loso":
        keys["session"] = lambda i: rows[i].session
    keys["audio"] = lambda i: audio_hashes[i] or None
    if guard_text:
        keys["text"] = lambda i: _plain_text(rows[i])
    found = [leak for fold in folds for leak in _fold_leaks(fold, rows, keys)]
    if split == "kfold10":
        found.append(Leak("split", folds[0].name, "train/test", "folds are cut at random"))
    return tuple(found)


def guard(leaks: Sequence[Leak], allow_optimistic: bool) -> bool:
    """Whether results will be honest: True without leaks, False with leaks that are allowed.

    Raises `LeakageError` for leaks that are not.
    """
    if not leaks:
        return True
    if allow_optimistic:
        return False
    first, others = leaks[0], len(leaks) - 1
    more = f" (and {others} more overlaps)" if others else ""
    raise LeakageError(
        f"fold {first.fold}: {first.kind} leak, {first.between}: {first.detail}{more}; "
        "set evaluate.allow_optimistic = true to run it, stamped optimistic"
    )


def _fold_leaks(fold: Fold, rows: Sequence[Utterance], keys: dict[str, Key]) -> Iterator[Leak]:
    shared = sorted(set(fold.validation) & set(fold.test))
    if shared:
        detail = f"choices are made on {len(shared)} test utterances, e.g. {rows[shared[0]].file}"
        yield Leak("validation", fold.name, "validation/test", detail)
    validation = sorted(set(fold.validation) - set(fold.test))
    for kind, key in keys.items():
        for part, indices in (("train", fold.train), ("validation", validation)):
            overlap = _overlap(kind, key, indices, fold.test, rows)
            if overlap:
                yield Leak(kind, fold.name, f"{part}/test", overlap)  # type: ignore[arg-type]


def _overlap(
    kind: str, key: Key, indices: Sequence[int], test: Sequence[int], rows: Sequence[Utterance]
) -> str | None:
    """How many values of `key` both sides have, with an example; None if there is none."""
    here, there = _first_with(key, indices), _first_with(key, test)
    both = sorted(here.keys() & there.keys())
    if not both:
        return None
    example = f"{rows[here[both[0]]].file} and {rows[there[both[0]]].file}"
    value = "the same samples" if kind == "audio" else repr(both[0])
    return f"{len(both)} shared, e.g. {value} in {example}"


def _first_with(key: Key, indices: Sequence[int]) -> dict[str, int]:
    """The first index for each value of `key` that is not None."""
    first: dict[str, int] = {}
    for index in indices:
        value = key(index)
        if value is not None:
            first.setdefault(value, index)
    return first


def _plain_text(utterance: Utterance) -> str | None:
    return " ".join((utterance.text or "").casefold().split()) or None
