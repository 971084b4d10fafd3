"""Whether the audio behind a manifest can be used: every recording is decoded once.

A manifest enters; counts, durations, hashes and one line for each problem leave.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mfas.audio import RATE_HZ, audio_sha256, read_audio
from mfas.audio.segments import count_segments
from mfas.corpora.manifest import Manifest, Utterance
from mfas.errors import AudioError
from mfas.jobs import default_workers, run_jobs

FULL_SCALE = 0.999  # of the largest sample a file can hold
CLIPPED_SHARE = 1e-3  # one sample in a thousand; a few peaks at full scale are normalisation


@dataclass(frozen=True)
class Problem:
    """One recording that needs attention; `message` is a line that names it.

    kind "unreadable" is whatever `mfas.audio.read_audio` refuses: silent, truncated, not audio, ...
    """

    kind: Literal["missing", "unreadable", "clipped", "duplicate"]
    message: str


@dataclass(frozen=True)
class ManifestReport:
    """What a manifest's audio holds.

    classes, speakers: number of utterances of each. seconds: duration of what could be decoded, and
    segments: its 3-second segments. audio_hashes: `audio_sha256` of each utterance, in the order of
    the manifest, "" where it could not be decoded. faults: everything that needs attention.
    """

    utterances: int
    classes: dict[str, int]
    speakers: dict[str, int]
    seconds: float
    segments: int
    audio_hashes: tuple[str, ...]
    faults: tuple[Problem, ...]

    @property
    def problems(self) -> list[str]:
        """One line for each fault."""
        return [fault.message for fault in self.faults]

    @property
    def ok(self) -> bool:
        """Whether nothing needs attention."""
        return not self.faults


@dataclass(frozen=True)
class _Decoded:
    samples: int = 0
    sha256: str = ""
    fault: Problem | None = None


def check_manifest(manifest: Manifest, workers: int = 0) -> ManifestReport:
    """Decode every utterance of a manifest in `workers` threads (0: one a core)."""
    decoded = [_Decoded()] * len(manifest)
    workers = workers or default_workers()
    for index, result in run_jobs(_decode, manifest.utterances, workers, kind="threads"):
        decoded[index] = result
    hashes = tuple(result.sha256 for result in decoded)
    faults = [result.fault for result in decoded if result.fault]
    return ManifestReport(
        utterances=len(manifest),
        classes=manifest.counts(),
        speakers=manifest.speaker_counts(),
        seconds=sum(result.samples for result in decoded) / RATE_HZ,
        segments=sum(count_segments(result.samples) for result in decoded if result.samples),
        audio_hashes=hashes,
        faults=(*faults, *_duplicates(manifest, hashes)),
    )


def _decode(utterance: Utterance) -> _Decoded:
    if not utterance.path.exists():
        missing = f"{utterance.path}: no such file; correct the manifest or restore the file"
        return _Decoded(fault=Problem("missing", missing))
    try:
        samples = read_audio(utterance.path, utterance.start, utterance.end)
    except AudioError as error:
        return _Decoded(fault=Problem("unreadable", str(error)))
    return _Decoded(len(samples), audio_sha256(samples), _clipping(utterance, samples))


def _clipping(utterance: Utterance, samples: np.ndarray) -> Problem | None:
    share = float(np.mean(np.abs(samples) >= FULL_SCALE))
    if share < CLIPPED_SHARE:
        return None
    message = f"{utterance.path}: clipped, {share:.1%} of its samples are at full scale"
    return Problem("clipped", f"{message}; record it at a lower level")


def _duplicates(manifest: Manifest, hashes: Sequence[str]) -> Iterator[Problem]:
    first: dict[str, Utterance] = {}
    for utterance, sha256 in zip(manifest, hashes, strict=True):
        original = first.setdefault(sha256, utterance)
        if sha256 and original is not utterance:
            message = f"{utterance.path}: the same audio as {original.file}; keep one of them"
            yield Problem("duplicate", message)
