"""What is known about a corpus: one `Utterance` per labelled recording, and the `Manifest` of them.

Adapters and `read_manifest` make manifests; everything later reads them. Utterances are always
sorted, so the order in which a corpus was listed never changes a result.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mfas.corpora.labels import choose_labels


@dataclass(frozen=True)
class Utterance:
    """One labelled recording, or the part of it from `start` to `end` (seconds).

    file: as the manifest writes it. path: the same, absolute. valence, arousal, dominance: on the
    corpus's scale (IEMOCAP: 1 to 5). Whatever a corpus does not tell is None.
    """

    file: str
    path: Path
    speaker: str
    label: str
    session: str | None = None
    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    text: str | None = None
    gender: str | None = None
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Manifest:
    """The utterances of a corpus, sorted by file and start.

    path: where it was read from, if it was. skipped: what an adapter left out and why, one line
    each. Two manifests are equal if their utterances are.
    """

    utterances: tuple[Utterance, ...]
    path: Path | None = field(default=None, compare=False)
    skipped: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "utterances", tuple(sorted(self.utterances, key=_position)))

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    @property
    def origin(self) -> str:
        """How messages name this manifest: its file, or "manifest"."""
        return str(self.path or "manifest")

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return tuple(sorted({utterance.label for utterance in self}))

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers, sorted."""
        return tuple(sorted({utterance.speaker for utterance in self}))

    @property
    def sessions(self) -> tuple[str, ...]:
        """The sessions, sorted; empty where the corpus has none."""
        return tuple(sorted({u.session for u in self if u.session is not None}))

    def counts(self) -> dict[str, int]:
        """Number of utterances of each class, by class name."""
        return _counted(self.utterances, lambda utterance: utterance.label)

    def speaker_counts(self) -> dict[str, int]:
        """Number of utterances of each speaker, by speaker."""
        return _counted(self.utterances, lambda utterance: utterance.speaker)

    def select(
        self, classes: Sequence[str] = (), merge: Mapping[str, str] | None = None
    ) -> "Manifest":
        """Rename labels by `merge`, then keep `classes` (all labels if empty).

        Raises `ManifestError` for a class or a key of `merge` that no utterance has.
        """
        names = choose_labels(self.classes, classes, merge or {}, self.origin)
        kept = (replace(u, label=names[u.label]) for u in self if u.label in names)
        left_out = ", ".join(f"{k} {n}" for k, n in self.counts().items() if k not in names)
        said = (f"labels that corpus.classes leaves out: {left_out}",) if left_out else ()
        return replace(self, utterances=tuple(kept), skipped=(*self.skipped, *said))


def _position(utterance: Utterance) -> tuple[str, float, float]:
    end = float("inf") if utterance.end is None else utterance.end
    return utterance.file, utterance.start or 0.0, end


def _counted(utterances: Sequence[Utterance], key: Callable[[Utterance], str]) -> dict[str, int]:
    return dict(sorted(Counter(map(key, utterances)).items()))
