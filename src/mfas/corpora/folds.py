"""Which utterances train, choose and test: a manifest and a protocol enter, folds leave.

A protocol has two halves that are never mixed up (MFAS, arXiv 2306.09361, section 2, leaves both
vague). The *split* says what is tested: `loso` one session a fold, `lospo` one speaker, `groups:N`
N sets of whole speakers, `kfold10` ten stratified random parts. The *selection* says where epochs
and strategies are chosen: `inner` holds training speakers (sessions for `loso`) out for that;
`paper` chooses on the test utterances themselves, as the paper's set-up does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfas.corpora.inner import InnerGroups, random_share
from mfas.corpora.manifest import Manifest
from mfas.errors import ManifestError

RANDOM_FOLDS = 10


@dataclass(frozen=True)
class Fold:
    """Indices into `manifest.utterances`, each ascending.

    validation: where choices are made. It is disjoint from `train` and `test`, except that with
    selection `paper` it *is* `test`.
    """

    name: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def make_folds(
    manifest: Manifest, split: str, seed: int, inner_fraction: float, selection: str
) -> tuple[Fold, ...]:
    """Cut a manifest into folds; every utterance is tested once.

    `inner_fraction` is the share of training groups held out for choices, at least one group.
    The same arguments give the same folds, whatever the order of the manifest's rows. Raises
    `ManifestError` where the speakers, sessions or classes do not suffice.
    """
    assert selection in ("inner", "paper"), selection
    tests = _tests(manifest, split, seed)
    grouped = split != "kfold10"
    groups = _sessions(manifest) if split == "loso" else [u.speaker for u in manifest]
    inner = InnerGroups(groups, [u.label for u in manifest], inner_fraction, seed)
    folds = []
    for number, (name, test) in enumerate(tests.items()):
        remaining = np.setdiff1d(np.arange(len(manifest)), test)
        place = f"{manifest.origin}: fold {name} of {split}"
        if selection == "paper":
            validation = test
        elif grouped:
            validation = inner.hold_out(remaining, number, place)
        else:
            labels = [manifest.utterances[i].label for i in remaining]
            validation = remaining[random_share(labels, inner_fraction, seed, number)]
        train = np.setdiff1d(remaining, validation)
        _require_classes(manifest, train, place)
        folds.append(Fold(name, _indices(train), _indices(validation), _indices(test)))
    return tuple(folds)


def hold_out(
    manifest: Manifest, split: str, inner_fraction: float, seed: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Training and validation indices of a model that is tested on nothing of this manifest.

    Whole sessions (`loso`) or speakers validate; with `kfold10`, a random part of each class.
    """
    everything = np.arange(len(manifest))
    if split == "kfold10":
        validation = random_share([u.label for u in manifest], inner_fraction, seed, 0)
    else:
        groups = _sessions(manifest) if split == "loso" else [u.speaker for u in manifest]
        inner = InnerGroups(groups, [u.label for u in manifest], inner_fraction, seed)
        validation = inner.hold_out(everything, 0, manifest.origin)
    train = np.setdiff1d(everything, validation)
    _require_classes(manifest, train, manifest.origin)
    return _indices(train), _indices(validation)


def _tests(manifest: Manifest, split: str, seed: int) -> dict[str, np.ndarray]:
    """The test indices of each fold, by its name."""
    if split == "kfold10":
        return _random_tests(manifest, seed)
    if split == "loso":
        sessions = _sessions(manifest)
        _require_groups(manifest, "session", manifest.sessions, 2, split)
        return {name: _where(sessions, {name}) for name in manifest.sessions}
    speakers = [utterance.speaker for utterance in manifest]
    if split == "lospo":
        _require_groups(manifest, "speaker", manifest.speakers, 2, split)
        return {name: _where(speakers, {name}) for name in manifest.speakers}
    count = int(split.removeprefix("groups:"))
    _require_groups(manifest, "speaker", manifest.speakers, max(2, count), split)
    if count < 2:
        raise ManifestError(f"{manifest.origin}: {split} leaves nothing to train on; use groups:2")
    return _numbered([_where(speakers, part) for part in _speaker_parts(manifest, count, seed)])


def _random_tests(manifest: Manifest, seed: int) -> dict[str, np.ndarray]:
    if len(manifest) < RANDOM_FOLDS:
        raise ManifestError(
            f"{manifest.origin}: {len(manifest)} utterances do not make {RANDOM_FOLDS} folds; "
            "add utterances"
        )
    labels = np.array([utterance.label for utterance in manifest])
    counts_IC = (labels[:, None] == np.array(manifest.classes)).astype(float)
    part_of = _balanced_parts(counts_IC, RANDOM_FOLDS, seed)
    return _numbered([np.flatnonzero(part_of == part) for part in range(RANDOM_FOLDS)])


def _speaker_parts(manifest: Manifest, count: int, seed: int) -> list[set[str]]:
    """Divide the speakers into `count` sets with similar numbers of each class."""
    speakers, classes = manifest.speakers, manifest.classes
    counts_SC = np.zeros((len(speakers), len(classes)))
    for utterance in manifest:
        counts_SC[speakers.index(utterance.speaker), classes.index(utterance.label)] += 1
    part_of = _balanced_parts(counts_SC, count, seed)
    return [{s for s, own in zip(speakers, part_of, strict=True) if own == p} for p in range(count)]


def _balanced_parts(counts_IC: np.ndarray, parts: int, seed: int) -> np.ndarray:
    """Part of each item (I,), from how many utterances of each class it has (I, C).

    Largest items first, each goes where it adds least to the sum of squares of the parts' shares
    of every class and of the whole, so no part stays empty. (scikit-learn's StratifiedGroupKFold
    can leave parts empty, and its StratifiedKFold warns about rare classes.)
    """
    order = np.random.default_rng(seed).permutation(len(counts_IC))
    order = order[np.argsort(-counts_IC.sum(axis=1)[order], kind="stable")]
    shares_IC = np.column_stack([counts_IC, counts_IC.sum(axis=1)])
    shares_IC = shares_IC / shares_IC.sum(axis=0)
    filled_PC = np.zeros((parts, shares_IC.shape[1]))
    part_of = np.zeros(len(counts_IC), dtype=int)
    for item in order:
        part_of[item] = np.argmin(np.round(filled_PC @ shares_IC[item], 12))
        filled_PC[part_of[item]] += shares_IC[item]
    return part_of


def _numbered(tests: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{number:02d}": test for number, test in enumerate(tests, start=1)}


def _where(groups: Sequence[str], wanted: set[str]) -> np.ndarray:
    return np.flatnonzero([group in wanted for group in groups])


def _indices(indices: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in indices)


def _sessions(manifest: Manifest) -> list[str]:
    without = [u.file for u in manifest if u.session is None]
    if without:
        raise ManifestError(
            f"{manifest.origin}: loso needs a session for every utterance, {without[0]} has none; "
            "fill the column session, or use evaluate.split = 'lospo'"
        )
    return [str(utterance.session) for utterance in manifest]


def _require_groups(
    manifest: Manifest, kind: str, groups: Sequence[str], least: int, split: str
) -> None:
    if len(groups) < least:
        raise ManifestError(
            f"{manifest.origin}: {split} needs at least {least} {kind}s, there is "
            f"{len(groups)} ({', '.join(groups)}); add {kind}s, or use evaluate.split = 'kfold10' "
            "with evaluate.allow_optimistic = true"
        )


def _require_classes(manifest: Manifest, train: np.ndarray, place: str) -> None:
    missing = set(manifest.classes) - {manifest.utterances[i].label for i in train}
    if missing:
        raise ManifestError(
            f"{place}: no training utterance of class {', '.join(sorted(missing))}; "
            "leave the class out (corpus.classes), merge it, or add speakers that have it"
        )
