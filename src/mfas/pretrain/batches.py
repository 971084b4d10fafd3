"""Which pieces of which recordings make each batch, and the batches themselves, read ahead.

Speech enters; `SpeechBatch`es leave, the same ones in the same order for the same seed, however often
a run is interrupted and over however many processes its rows are spread.

- Self-supervised objectives get crops: all rows of a batch are equally long, nothing is padded. A
  recording gives as many crops as it can fill, of the longest length that it can fill (choice).
- CTC gets whole recordings, each batch of similar lengths, padded at the end.

Shape legend: B rows, N samples.
"""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
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
    """`samples` samples of a recording, from `start`."""

    recording: int
    start: int
    samples: int


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
    counts_R = np.maximum(1, speech.lengths_R // lengths[0])
    order = random.permutation(np.repeat(np.arange(len(speech)), counts_R))
    plans: list[Plan] = []
    for length in lengths:
        rows = _rows(batch_seconds, length, processes)
        fitting = order[speech.lengths_R[order] >= length]
        used = len(fitting) - len(fitting) % rows
        for first in range(0, used, rows):
            chosen = fitting[first : first + rows]
            plans.append(tuple(_crop(speech, int(r), length, random) for r in chosen))
        order = np.concatenate([fitting[used:], order[speech.lengths_R[order] < length]])
    if not plans:
        raise ManifestError(
            f"{speech.seconds:.0f} s of speech do not fill one batch of {batch_seconds:g} s; "
            "add recordings, or lower optimize.batch_seconds"
        )
    return [plans[i] for i in random.permutation(len(plans))]


def plan_recordings(
    speech: Speech, batch_seconds: float, processes: int, seed: int | None
) -> list[Plan]:
    """Whole recordings in batches of similar lengths; sorted by length alone if `seed` is None.

    Each process has as many rows; recordings that are too few for that, at the end of the order,
    are left out of this epoch. Raises `ManifestError` if there are fewer recordings than processes.
    """
    random = np.random.Generator(np.random.PCG64(seed or 0))
    order = np.argsort(speech.lengths_R, kind="stable")
    if seed is not None:
        order = _roughly_sorted(speech, batch_seconds, random)
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
        more = rows + [Piece(r, 0, int(speech.lengths_R[r])) for r in chosen]
        longest = max(piece.samples for piece in more)
        if rows and longest * len(more) > int(batch_seconds * RATE_HZ):
            plans.append(tuple(rows))
            more = more[len(rows) :]
        rows = more
    plans.append(tuple(rows))
    return plans if seed is None else [plans[i] for i in random.permutation(len(plans))]


def _roughly_sorted(
    speech: Speech, batch_seconds: float, random: np.random.Generator
) -> np.ndarray:
    """Random order, sorted by length within stretches of some batches."""
    mean_samples = float(speech.lengths_R.mean())
    stretch = max(1, round(SORTED_TOGETHER * batch_seconds * RATE_HZ / mean_samples))
    order = random.permutation(len(speech))
    parts = [order[first : first + stretch] for first in range(0, len(order), stretch)]
    return np.concatenate(
        [part[np.argsort(speech.lengths_R[part], kind="stable")] for part in parts]
    )


def _rows(batch_seconds: float, length: int, processes: int) -> int:
    return max(1, int(batch_seconds * RATE_HZ) // length // processes) * processes


def _crop(speech: Speech, recording: int, length: int, random: np.random.Generator) -> Piece:
    return Piece(recording, int(random.integers(speech.lengths_R[recording] - length + 1)), length)


def read_batch(speech: Speech, plan: Plan, process: int = 0, processes: int = 1) -> SpeechBatch:
    """The rows of `process` out of `plan`, on the CPU: float32, zeros behind the ends."""
    share = len(plan) // processes
    rows = plan[process * share : (process + 1) * share]
    longest = max(piece.samples for piece in plan)
    samples_BN = np.zeros((share, longest), dtype=np.float32)
    for row, piece in zip(samples_BN, rows, strict=True):
        row[: piece.samples] = speech.read(piece.recording, piece.start, piece.samples)
    samples_BN /= FULL_SCALE
    return SpeechBatch(
        waveforms_BN=torch.from_numpy(samples_BN),
        samples_B=torch.tensor([piece.samples for piece in rows]),
        texts=tuple(speech.utterances[piece.recording].text or "" for piece in rows),
        first_row=process * share,
        all_rows=len(plan),
    )


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
