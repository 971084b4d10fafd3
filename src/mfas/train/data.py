"""Utterances with labels become batches of segments.

Shape legend: U utterances, B segments of a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfas.model import Batch
from mfas.train.features import Features
from mfas.train.seeds import shuffled

SegmentId = tuple[int, int]  # utterance, segment within it


@dataclass(frozen=True, order=True)
class Window:
    """`segments` segments of an utterance that follow each other, from number `first` on."""

    utterance: int
    first: int
    segments: int


@dataclass(frozen=True)
class SegmentSet:
    """The segments of a manifest with their features, and each utterance's class.

    `targets_U` holds class indices, one an utterance; `classes` is the number of classes. `speakers`
    names each utterance's speaker, and `groups` what is left out together where choices are made: the
    speaker, or with `loso` the session. `pooled` is a folder for what heads in closed form pool.
    """

    features: Features
    targets_U: tuple[int, ...]
    classes: int
    speakers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    pooled: Path | None = None

    def segments_of(self, utterances: Sequence[int]) -> list[SegmentId]:
        """All segments of `utterances`, in order."""
        return [(u, s) for u in utterances for s in range(self.features.segment_counts[u])]

    def batches(
        self, utterances: Sequence[int], size: int, seed: int | None = None
    ) -> Iterator[tuple[Batch, Tensor, list[SegmentId]]]:
        """Yield (batch, targets_B, segment ids); shuffled if a seed is given."""
        segments = self.segments_of(utterances)
        if seed is not None:
            segments = [segments[i] for i in shuffled(len(segments), seed)]
        for start in range(0, len(segments), size):
            chosen = segments[start : start + size]
            targets_B = torch.tensor([self.targets_U[u] for u, _ in chosen])
            yield self.features.batch(chosen), targets_B, chosen

    def windows_of(self, utterances: Sequence[int], segments: int) -> list[Window]:
        """Each utterance in windows of at most `segments` segments, in order."""
        counts = self.features.segment_counts
        return [
            Window(u, first, min(segments, counts[u] - first))
            for u in utterances
            for first in range(0, counts[u], segments)
        ]

    def windows(
        self, windows: Sequence[Window], size: int = 32
    ) -> Iterator[tuple[Batch, list[Window]]]:
        """Yield (frames, windows); a batch holds up to `size` windows of as many segments."""
        for length in sorted({window.segments for window in windows}):
            alike = [window for window in windows if window.segments == length]
            for start in range(0, len(alike), size):
                chosen = alike[start : start + size]
                ids = [(w.utterance, w.first + s) for w in chosen for s in range(length)]
                yield self.features.windows(ids, length), chosen

    def class_weights(self, utterances: Sequence[int], balance: bool) -> Tensor:
        """Loss weight of each class, (classes,): inverse to its frequency, or all 1."""
        if not balance:
            return torch.ones(self.classes)
        counts = np.bincount([self.targets_U[u] for u in utterances], minlength=self.classes)
        return torch.from_numpy(len(utterances) / (self.classes * np.maximum(counts, 1))).float()
