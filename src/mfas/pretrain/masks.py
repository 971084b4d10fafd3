"""Which frames a model must guess: spans of time, drawn on the device of the model.

wav2vec 2.0 (arXiv 2006.11477) draws starts of spans that may overlap, so that asking for .65 masks
about half of the frames. MFAS (arXiv 2306.09361, section 4) says that 65 % are masked; `disjoint`
spans take it at its word: every row has the share, to the nearest whole span (choice). Spans may
still touch.

Shape legend: B rows, T frames, S spans.
"""

import torch
from torch import Tensor

from mfas.config import MaskSection


def span_masks(rows: int, frames: int, settings: MaskSection, generator: torch.Generator) -> Tensor:
    """Bool (rows, frames) on the generator's device, True = masked.

    At least one frame of a row is masked, in a span that is shorter if the row is, and at least one
    is not; the only frame of a row is not.
    """
    span, spans = _spans(frames, settings)
    draw = _overlapping if settings.placement == "overlapping" else _disjoint
    starts_BS = draw(rows, frames, span, spans, generator)
    offsets = torch.arange(span, device=generator.device)
    masked_BS = (starts_BS[..., None] + offsets).flatten(1)
    mask_BT = torch.zeros(rows, frames, dtype=torch.bool, device=generator.device)
    return mask_BT.scatter_(1, masked_BS, True)


def masked_frames(frames: int, settings: MaskSection) -> int:
    """How many frames of a row are masked: exact for disjoint spans, the most for overlapping ones."""
    span, spans = _spans(frames, settings)
    return span * spans


def _spans(frames: int, settings: MaskSection) -> tuple[int, int]:
    """Length and number of spans; both are smaller in rows that are too short for them."""
    span = max(1, min(settings.span, frames - 1))
    spans = max(1, round(settings.share * frames / span))
    return span, min(spans, (frames - 1) // span)


def _overlapping(
    rows: int, frames: int, span: int, spans: int, generator: torch.Generator
) -> Tensor:
    """Different starts, each place as likely."""
    places = frames - span + 1
    order = torch.rand(rows, places, generator=generator, device=generator.device).argsort(1)
    return order[:, :spans]


def _disjoint(rows: int, frames: int, span: int, spans: int, generator: torch.Generator) -> Tensor:
    """Starts of spans that do not overlap: sorted draws from the free frames, each span put back in."""
    free = frames - spans * span
    gaps_BS = torch.randint(free + 1, (rows, spans), generator=generator, device=generator.device)
    lengths_S = torch.arange(spans, device=generator.device) * span
    return gaps_BS.sort(1).values + lengths_S
