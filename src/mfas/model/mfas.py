"""MFAS: encoders + Fusion Cell + Co-attention head.

Segments of recordings enter (their views, and waveforms or frames that were encoded before); class
log-probabilities leave (arXiv 2306.09361, Fig. 1):

    waveform -> SEC encoder -> levels first, middle, last --(one level)--+
                                                    |                    v
             -> TEC encoder -> x ---------------> Fusion Cell: x' = x adjusted by S_l
                                                    |                    |
    spectrogram, MFCC ------------------------> head(S_n, x') -> log-probabilities

Without a cell, x' = x. With one encoder alone it is the single-stream Co-attention. A head in closed
form reads all levels, S_1, S_{n/2}, S_n and x', or x' alone, and no views.

Shape legend: B segments, N samples, L levels, T encoder frames, D width, F frequency bins,
V frames of 10 ms, C coefficients.
"""

from dataclasses import replace

from torch import Tensor, nn

from mfas.encoders import Frames
from mfas.fusion import LEVELS, FusionCell
from mfas.heads import CoAttention, RidgeHead, Standard
from mfas.model.batch import Batch, Stream


class Projection(nn.Module):
    """Frames of one encoder, standardised per level, brought to another width by a linear layer."""

    def __init__(self, levels: int, encoder_dim: int, dim: int) -> None:
        super().__init__()
        self.standard = Standard(levels, encoder_dim)
        self.linear = nn.Linear(encoder_dim, dim)

    def forward(self, level_BTD: Tensor, index: int) -> Tensor:  # noqa: D102
        return self.linear(self.standard(level_BTD, index))


class MFAS(nn.Module):
    """Encoders, cell and head; either encoder, and the cell, may be None (see the module's text).

    `projections` maps "sec" and "tec" to `Projection`s that bring both to one width before the cell.
    """

    def __init__(
        self,
        sec: Stream | None,
        tec: Stream | None,
        cell: FusionCell | None,
        head: CoAttention | RidgeHead,
        projections: nn.ModuleDict | None = None,
    ) -> None:
        super().__init__()
        self.sec, self.tec, self.cell, self.head = sec, tec, cell, head
        self.projections = nn.ModuleDict() if projections is None else projections

    def forward(
        self, batch: Batch, level: str | None = None, operation: str | None = None
    ) -> Tensor:
        """Class log-probabilities (B, classes).

        `level` is needed while the cell is a mixture; a fixed cell knows its own. `operation`
        takes one path of the mixture (see `FusionCell.forward`).
        """
        streams, masks = self.streams(batch, level, operation)
        if isinstance(self.head, RidgeHead):
            return self.head(streams, masks)
        return self.head(batch.spectrograms_BFV, batch.mfccs_BVC, batch.frames_B, streams, masks)

    def streams(
        self,
        batch: Batch,
        level: str | None = None,
        operation: str | None = None,
        only: str | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What the head reads: frames (B, T, D) and masks (B, T) of SEC and of x'.

        `only` asks for one of the two, "sec" or "tec".
        """
        streams, masks = [], []
        sec, tec = self.encoded("sec", batch), self.encoded("tec", batch)
        if sec is not None and only != "tec" and "sec" in self.read:
            lowest = 0 if isinstance(self.head, RidgeHead) else len(LEVELS) - 1
            for index in range(lowest, len(LEVELS)):
                streams.append(self._level("sec", sec, index))
                masks.append(sec.mask_BT)
        if tec is not None and only != "sec":
            streams.append(self._adjusted(sec, tec, level, operation))
            masks.append(tec.mask_BT)
        return streams, masks

    @property
    def read(self) -> tuple[str, ...]:
        """The streams that the head reads; "tec" is x'. A ridge head of one stream reads x' alone."""
        there = tuple(name for name in ("sec", "tec") if getattr(self, name) is not None)
        alone = isinstance(self.head, RidgeHead) and self.head.streams == 1
        return ("tec",) if alone and "tec" in there else there

    @property
    def ridge(self) -> RidgeHead:
        """The head of a model that is solved in closed form."""
        assert isinstance(self.head, RidgeHead), "only a ridge head is solved, and has windows"
        return self.head

    def encoded(self, stream: str, batch: Batch) -> Frames | None:
        """Frames of one encoder, "sec" or "tec": from the batch, or from the encoder itself."""
        encoder: Stream | None = getattr(self, stream)
        if encoder is None:
            return None
        frames: Frames | None = getattr(batch, stream)
        if frames is not None:
            return frames
        assert batch.waveforms_BN is not None and batch.samples_B is not None, "nothing to encode"
        frames = encoder(batch.waveforms_BN, batch.samples_B)
        return _rounded_like_cache(frames) if _is_frozen(encoder) else frames

    def _level(self, stream: str, frames: Frames, index: int, detach: bool = False) -> Tensor:
        """One level of the frames, (B, T, D), brought to the common width.

        `detach` cuts it off the encoder, but not off the projection, which must learn at every
        level: it is not the encoder's.
        """
        level_BTD = frames.hidden_BLTD[:, index]
        if detach:
            level_BTD = level_BTD.detach()
        if stream not in self.projections:
            return level_BTD
        return self.projections[stream](level_BTD, index) * frames.mask_BT.unsqueeze(-1)

    def _adjusted(
        self, sec: Frames | None, tec: Frames, level: str | None, operation: str | None
    ) -> Tensor:
        tec_BTD = self._level("tec", tec, -1)
        if self.cell is None:
            return tec_BTD
        assert sec is not None, "a Fusion Cell needs SEC frames"
        chosen = self.cell.only.level if self.cell.only is not None else level
        assert chosen is not None, "a mixture needs to be told the level"
        sec_BTD = self._level("sec", sec, LEVELS.index(chosen), detach=chosen != "last")
        mask_BT = tec.mask_BT & sec.mask_BT
        return self.cell(tec_BTD, sec_BTD, chosen, mask_BT, operation, detach=False)


def _rounded_like_cache(frames: Frames) -> Frames:
    return replace(frames, hidden_BLTD=frames.hidden_BLTD.half().float())


def _is_frozen(encoder: Stream) -> bool:
    return not any(parameter.requires_grad for parameter in encoder.parameters())
