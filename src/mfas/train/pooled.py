"""What a head in closed form reads: windows of utterances, pooled over time, once and for all folds.

Utterances and a model enter; one row of features a window leaves, or log-probabilities of the utterances,
from rows that a solved head has classified. SEC and x' are pooled apart and kept in a folder of the cache,
so that folds and strategies share them.

Shape legend: W windows, F features, K classes, U utterances.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mfas.encoders.arrays import save_array, stored_array
from mfas.heads import RidgeHead, Voice
from mfas.model import MFAS
from mfas.train.data import SegmentSet, Window

STREAMS = ("sec", "tec")


@dataclass(frozen=True)
class Pooled:
    """features_WF: of every window. windows: which they are. frames_W: real frames of each."""

    features_WF: Tensor
    windows: tuple[Window, ...]
    frames_W: Tensor

    @property
    def utterances(self) -> list[int]:
        """The utterance of each window."""
        return [window.utterance for window in self.windows]


def pool_utterances(model: MFAS, data: SegmentSet, utterances: Sequence[int]) -> Pooled:
    """What the head of `model` makes of the frames of `utterances`, in their order.

    With a folder for it, all utterances of `data` are pooled at once and kept, SEC and x' apart: folds
    that ask for the same strategy share them, and all strategies share SEC.
    """
    segments = model.ridge.context_segments
    streams = model.read
    windows = data.windows_of(utterances, segments)
    if data.pooled is None:
        parts = [_pool(model, data, windows, stream) for stream in streams]
    else:
        every = data.windows_of(range(len(data.targets_U)), segments)
        row_of = {window: row for row, window in enumerate(every)}
        rows = [row_of[window] for window in windows]
        kept = (_kept(data.pooled, model, data, every, stream) for stream in streams)
        parts = [torch.from_numpy(part_WF[rows]) for part_WF in kept]
    frames_U = data.features.encoded_frames[streams[0]]
    counts = [float(frames_U[w.utterance][w.first : w.first + w.segments].sum()) for w in windows]
    return Pooled(torch.cat(parts, dim=1), tuple(windows), torch.tensor(counts))


def _kept(
    folder: Path, model: MFAS, data: SegmentSet, every: Sequence[Window], stream: str
) -> np.ndarray:
    """Pooled frames of one stream of all windows, float32 (W, F); from the folder, or put there."""
    path = folder / f"{_key(model, data, stream)}.npy"
    stored_WF = stored_array(path, (len(every), None), np.float32)
    if stored_WF is None:
        stored_WF = _pool(model, data, every, stream).numpy()
        save_array(path, stored_WF)
    return stored_WF


def _key(model: MFAS, data: SegmentSet, stream: str) -> str:
    """Changes with the frames, and with whatever the model does to them before its head."""
    before = {"sec": ("projections.sec.",), "tec": ("cell.", "projections.")}[stream]
    read = ("sec",) if stream == "sec" else STREAMS
    digest = hashlib.sha256(f"{stream} {model.ridge.context_segments}".encode())
    for name in read:
        digest.update(f"{[str(path) for path in data.features.encoded.get(name, ())]}".encode())
    if stream == "tec" and model.cell is not None:
        digest.update(f"{model.cell.only} {model.cell.ism_form}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(before):
            digest.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


@torch.no_grad()
def _pool(model: MFAS, data: SegmentSet, windows: Sequence[Window], stream: str) -> Tensor:
    """Pooled frames of one stream of some windows, (W, F)."""
    head = model.ridge
    was_training = model.training
    model.eval()
    rows: dict[Window, Tensor] = {}
    for batch, chosen in data.windows(windows):
        rows.update(zip(chosen, head.pool(*model.streams(batch, only=stream)), strict=True))
    model.train(was_training)
    return torch.stack([rows[window] for window in windows])


def log_probabilities(
    head: RidgeHead, pooled: Pooled, data: SegmentSet, utterances: Sequence[int]
) -> Tensor:
    """Normalised log-probabilities (U, K) of `utterances` from their windows.

    Plain, or, if the head was solved for voices alone, with the voice of each speaker's windows.
    """
    if head.plain.solved:
        rows_WK = head.classify(pooled.features_WF)
    else:
        rows_WK = torch.empty(len(pooled.windows), len(head.adapted.bias_K))
        for rows, voice in voices(head, pooled, data):
            rows_WK[rows] = head.classify(pooled.features_WF[rows], voice)
    return by_utterance(rows_WK, pooled, utterances)


def by_utterance(rows_WK: Tensor, pooled: Pooled, utterances: Sequence[int]) -> Tensor:
    """The mean of each utterance's windows, weighted by their frames, as log-probabilities (U, K)."""
    place = {utterance: number for number, utterance in enumerate(utterances)}
    row_W = torch.tensor([place[utterance] for utterance in pooled.utterances])
    shape = (len(utterances), rows_WK.shape[1])
    sums_UK = rows_WK.new_zeros(shape).index_add_(
        0, row_W, rows_WK * pooled.frames_W[:, None].to(rows_WK.dtype)
    )
    frames_U = pooled.frames_W.new_zeros(len(utterances)).index_add_(0, row_W, pooled.frames_W)
    return F.log_softmax(sums_UK / frames_U[:, None].to(rows_WK.dtype), dim=-1)


def voices(head: RidgeHead, pooled: Pooled, data: SegmentSet) -> Iterator[tuple[list[int], Voice]]:
    """The rows of each speaker, and the voice that they give together."""
    speakers = [data.speakers[utterance] for utterance in pooled.utterances]
    for speaker in sorted(set(speakers)):
        rows = [row for row, name in enumerate(speakers) if name == speaker]
        yield rows, head.make_voice(pooled.features_WF[rows])
