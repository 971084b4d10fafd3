"""Which labels of a corpus are used, and under which names.

The labels that a manifest holds enter, with a recipe's `classes` and `merge`; a mapping from the
label as written to the label as used leaves. MFAS (arXiv 2306.09361, section 2) keeps four classes
of IEMOCAP and counts *excited* as *happy*.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence

from mfas.errors import ManifestError


def choose_labels(
    present: Collection[str], classes: Sequence[str], merge: Mapping[str, str], origin: str
) -> dict[str, str]:
    """Map each label of `present` that is kept to its name: renamed by `merge`, then in `classes`.

    Empty `classes` keeps every label; renaming is not chained. Raises `ManifestError`, naming
    `origin`, for a key of `merge` or a member of `classes` that no utterance has.
    """
    for label in merge:
        if label not in present:
            raise ManifestError(
                f"{origin}: corpus.merge renames {label!r}, which no utterance has; "
                f"{nearest_hint(label, present)}"
            )
    renamed = {label: merge.get(label, label) for label in present}
    for label in classes:
        if label not in renamed.values():
            raise ManifestError(
                f"{origin}: corpus.classes names {label!r}, which no utterance has; "
                f"{nearest_hint(label, set(renamed.values()))}"
            )
    return {old: new for old, new in renamed.items() if not classes or new in classes}


def nearest_hint(name: str, known: Collection[str]) -> str:
    """The fix for a wrong name: the nearest of `known`, or all of them."""
    near = nearest(name, known)
    return f"did you mean {near}?" if near else f"choose from {', '.join(sorted(known))}"


def nearest(name: str, known: Collection[str]) -> str | None:
    """The member of `known` that `name` may have been meant to be."""
    return next(iter(difflib.get_close_matches(name.lower(), sorted(known), n=1, cutoff=0.5)), None)
