"""MFAS: encoders + Fusion Cell + Co-attention head, saved and loaded as one folder.

Segments of recordings enter (their views, and waveforms or frames that were encoded before); class
log-probabilities leave (arXiv 2306.09361, Fig. 1):

    waveform -> SEC encoder -> levels first, middle, last --(one level)--+
                                                    |                    v
             -> TEC encoder -> x ---------------> Fusion Cell: x' = x adjusted by S_l
                                                    |                    |
    spectrogram, MFCC ------------------------> head(S_n, x') -> log-probabilities

Without a cell, x' = x. With one encoder alone it is the single-stream Co-attention.

Shape legend: B segments, N samples, L levels, T encoder frames, D width, F frequency bins,
V frames of 10 ms, C coefficients.
"""

from dataclasses import replace

from torch import Tensor, nn

from mfas.encoders import Frames
from mfas.fusion import LEVELS, FusionCell
from mfas.heads import CoAttention
from mfas.model.batch import Batch, Stream


class MFAS(nn.Module):
    """Encoders, cell and head; either encoder, and the cell, may be None (see the module's text).

    `projections` maps "sec" and "tec" to layers that bring both to one width before the cell.
    """

    def __init__(
        self,
        sec: Stream | None,
        tec: Stream | None,
        cell: FusionCell | None,
        head: CoAttention,
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
        streams, masks = [], []
        sec = self._frames("sec", batch)
        tec = self._frames("tec", batch)
        if sec is not None:
            streams.append(sec.hidden_BLTD[:, -1])
            masks.append(sec.mask_BT)
        if tec is not None:
            streams.append(self._adjusted(sec, tec, level, operation))
            masks.append(tec.mask_BT)
        return self.head(batch.spectrograms_BFV, batch.mfccs_BVC, batch.frames_B, streams, masks)

    def _frames(self, stream: str, batch: Batch) -> Frames | None:
        encoder: Stream | None = getattr(self, stream)
        if encoder is None:
            return None
        frames: Frames | None = getattr(batch, stream)
        if frames is None:
            assert batch.waveforms_BN is not None, "a batch has frames or waveforms"
            frames = encoder(batch.waveforms_BN, batch.samples_B)
            frames = _rounded_like_cache(frames) if _is_frozen(encoder) else frames
        if stream not in self.projections:
            return frames
        mask_B1T1 = frames.mask_BT[:, None, :, None]
        return replace(frames, hidden_BLTD=self.projections[stream](frames.hidden_BLTD) * mask_B1T1)

    def _adjusted(
        self, sec: Frames | None, tec: Frames, level: str | None, operation: str | None
    ) -> Tensor:
        tec_BTD = tec.hidden_BLTD[:, -1]
        if self.cell is None:
            return tec_BTD
        assert sec is not None, "a Fusion Cell needs SEC frames"
        chosen = self.cell.only.level if self.cell.only is not None else level
        assert chosen is not None, "a mixture needs to be told the level"
        sec_BTD = sec.hidden_BLTD[:, LEVELS.index(chosen)]
        return self.cell(tec_BTD, sec_BTD, chosen, tec.mask_BT & sec.mask_BT, operation)


def _rounded_like_cache(frames: Frames) -> Frames:
    return replace(frames, hidden_BLTD=frames.hidden_BLTD.half().float())


def _is_frozen(encoder: Stream) -> bool:
    return not any(parameter.requires_grad for parameter in encoder.parameters())
