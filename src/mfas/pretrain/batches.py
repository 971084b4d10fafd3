"""Which pieces of which recordings make each batch, and the batches themselves, read ahead.

Speech enters; `SpeechBatch`es leave, the same ones in the same order for the same seed, however often
a run is interrupted and over however many processes its rows are spread.

- Self-supervised objectives get crops: all rows of a batch are equally long, nothing is padded. A
  recording gives as many crops as it can fill, of the longest length that it can fill (choice).
- CTC gets whole recordings, each batch of similar lengths, padded at the end.

Recordings can be played at other speeds, drawn anew for each epoch, by resampling, so that pitch moves
along (Ko et al., "Audio augmentation for speech recognition", Interspeech 2015).

Shape legend: B rows, N samples, R recordings.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import soxr
import torch

from mfas.audio import RATE_HZ
from mfas.config import SpeechSection
from mfas.errors import ManifestError
from mfas.pretrain.objective import SpeechBatch
from mfas.pretrain.speech import FULL_SCALE, Speech
from mfas.train import derive_seed

READ_AHEAD = 4  # batches
SORTED_TOGETHER = 16  # batches of whole recordings whose lengths are sorted at once


@dataclass(frozen=True)
class Piece:
    """`samples` samples of a recording that is played at `speed`, from its sample `start`."""

    recording: int
    start: int
    samples: int
    speed: float = 1.0

    @property
    def source_samples(self) -> int:
        """How many samples of the recording make this piece."""
        return int(self.samples * self.speed)


Plan = tuple[Piece, ...]  # the rows of one batch of all processes


def plan_crops(
    speech: Speech, settings: SpeechSection, batch_seconds: float, processes: int, seed: int
) -> list[Plan]:
    """The batches of one epoch, in random order; a different cut of the speech for each seed.

    What does not fill a batch of its length is cut shorter and joins the next; what does not fill one
    of the shortest is left out of this epoch. Raises `ManifestError` if no batch can be filled.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    lengths = sorted({round(s * RATE_HZ) for s in settings.crop_seconds}, reverse=True)
    speeds_R, lengths_R = _played(speech, settings.speeds, random)
    counts_R = np.maximum(1, lengths_R // lengths[0])
    order = random.permutation(np.repeat(np.arange(len(speech)), counts_R))
    plans: list[Plan] = []
    for length in lengths:
        rows = _rows(batch_seconds, length, processes)
        fitting = order[lengths_R[order] >= length]
        used = len(fitting) - len(fitting) % rows
        for first in range(0, used, rows):
            chosen = fitting[first : first + rows]
            plans.append(tuple(_crop(speech, r, length, speeds_R[r], random) for r in chosen))
        order = np.concatenate([fitting[used:], order[lengths_R[order] < length]])
    if not plans:
        raise ManifestError(
            f"{speech.seconds:.0f} s of speech do not fill one batch of {batch_seconds:g} s; "
            "add recordings, or lower optimize.batch_seconds"
        )
    return [plans[i] for i in random.permutation(len(plans))]


def plan_recordings(
    speech: Speech,
    batch_seconds: float,
    processes: int,
    seed: int | None,
    speeds: Sequence[float] = (1.0,),
) -> list[Plan]:
    """Whole recordings in batches of similar lengths; sorted by length alone if `seed` is None.

    speeds: one of them is drawn for each recording.

    Each process has as many rows; recordings that are too few for that, at the end of the order,
    are left out of this epoch. Raises `ManifestError` if there are fewer recordings than processes.
    """
    random = np.random.Generator(np.random.PCG64(seed or 0))
    speeds_R, lengths_R = _played(speech, speeds, random)
    order = np.argsort(lengths_R, kind="stable")
    if seed is not None:
        order = _roughly_sorted(lengths_R, batch_seconds, random)
    used = len(order) - len(order) % processes
    if not used:
        raise ManifestError(
            f"{len(speech)} recordings do not fill one batch of {processes} processes; "
            "add recordings, or use fewer processes"
        )
    plans: list[Plan] = []
    rows: list[Piece] = []
    for first in range(0, used, processes):
        chosen = order[first : first + processes].tolist()
        more = rows + [Piece(r, 0, int(lengths_R[r]), float(speeds_R[r])) for r in chosen]
        longest = max(piece.samples for piece in more)
        if rows and longest * len(more) > int(batch_seconds * RATE_HZ):
            plans.append(tuple(rows))
            more = more[len(rows) :]
        rows = more
    plans.append(tuple(rows))
    return plans if seed is None else [plans[i] for i in random.permutation(len(plans))]


def _played(
    speech: Speech, speeds: Sequence[float], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A speed for each recording, and how many samples it then gives."""
    if len(speeds) == 1:
        speeds_R = np.full(len(speech), float(speeds[0]))
    else:
        speeds_R = random.choice(np.asarray(speeds, dtype=float), len(speech))
    return speeds_R, (speech.lengths_R / speeds_R).astype(np.int64)


def _roughly_sorted(
    lengths_R: np.ndarray, batch_seconds: float, random: np.random.Generator
) -> np.ndarray:
    """Random order, sorted by length within stretches of some batches."""
    stretch = max(1, round(SORTED_TOGETHER * batch_seconds * RATE_HZ / float(lengths_R.mean())))
    order = random.permutation(len(lengths_R))
    parts = [order[first : first + stretch] for first in range(0, len(order), stretch)]
    return np.concatenate([part[np.argsort(lengths_R[part], kind="stable")] for part in parts])


def _rows(batch_seconds: float, length: int, processes: int) -> int:
    return max(1, int(batch_seconds * RATE_HZ) // length // processes) * processes


def _crop(
    speech: Speech, recording: int, length: int, speed: float, random: np.random.Generator
) -> Piece:
    piece = Piece(int(recording), 0, length, float(speed))
    room = speech.lengths_R[recording] - piece.source_samples + 1
    return replace(piece, start=int(random.integers(room)))


def read_batch(speech: Speech, plan: Plan, process: int = 0, processes: int = 1) -> SpeechBatch:
    """The rows of `process` out of `plan`, on the CPU: float32, zeros behind the ends."""
    share = len(plan) // processes
    rows = plan[process * share : (process + 1) * share]
    longest = max(piece.samples for piece in plan)
    samples_BN = np.zeros((share, longest), dtype=np.float32)
    for row, piece in zip(samples_BN, rows, strict=True):
        row[: piece.samples] = _samples(speech, piece)
    samples_BN /= FULL_SCALE
    return SpeechBatch(
        waveforms_BN=torch.from_numpy(samples_BN),
        samples_B=torch.tensor([piece.samples for piece in rows]),
        texts=tuple(speech.utterances[piece.recording].text or "" for piece in rows),
        first_row=process * share,
        all_rows=len(plan),
    )


def _samples(speech: Speech, piece: Piece) -> np.ndarray:
    """The samples of a piece, on the scale of 16 bits."""
    samples = speech.read(piece.recording, piece.start, piece.source_samples)
    if piece.speed == 1:
        return samples
    played = soxr.resample(samples.astype(np.float32), piece.speed * RATE_HZ, RATE_HZ)
    return np.pad(played, (0, max(0, piece.samples - len(played))))[: piece.samples]


def endless_plans(
    plan_epoch: Callable[[int], Sequence[Plan]], seed: int, skip: int
) -> Iterator[Plan]:
    """The plans of epoch after epoch, without the first `skip` of them.

    `plan_epoch` makes the plans of an epoch from a seed.
    """
    epoch = 0
    while True:
        plans = plan_epoch(derive_seed(seed, "epoch", epoch))
        yield from plans[skip:]
        skip = max(0, skip - len(plans))
        epoch += 1


def read_ahead(batches: Iterator[SpeechBatch]) -> Generator[SpeechBatch]:
    """The same batches, some of them read by a thread while the model computes.

    What goes wrong in the thread is raised here; the thread ends when this generator is closed.
    """
    ready: queue.Queue[SpeechBatch | BaseException | None] = queue.Queue(READ_AHEAD)
    stopped = threading.Event()

    def put(item: SpeechBatch | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                return ready.put(item, timeout=0.2)
            except queue.Full:
                continue

    def produce() -> None:
        try:
            for batch in batches:
                put(batch)
                if stopped.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001 -- raised again where it is waited for
            put(error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
