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
    """Bool (rows, frames) on the generator's device, True = masked; at least one frame of a row.

    A row too short for one span has a shorter one; at least one frame stays unmasked.
    """
    span = max(1, min(settings.span, frames - 1))
    spans = max(1, round(settings.share * frames / span))
    if settings.placement == "overlapping":
        starts_BS = _overlapping(rows, frames - span + 1, spans, generator)
    else:
        spans = min(spans, (frames - 1) // span)
        starts_BS = _disjoint(rows, frames, span, spans, generator)
    offsets = torch.arange(span, device=generator.device)
    masked_BS = (starts_BS[..., None] + offsets).flatten(1)
    mask_BT = torch.zeros(rows, frames, dtype=torch.bool, device=generator.device)
    return mask_BT.scatter_(1, masked_BS, True)


def _overlapping(rows: int, places: int, spans: int, generator: torch.Generator) -> Tensor:
    """Different starts, each place as likely."""
    order = torch.rand(rows, places, generator=generator, device=generator.device).argsort(1)
    return order[:, : min(spans, places)]


def _disjoint(rows: int, frames: int, span: int, spans: int, generator: torch.Generator) -> Tensor:
    """Starts of spans that do not overlap: sorted draws from the free frames, each span put back in."""
    free = frames - spans * span
    gaps_BS = torch.randint(free + 1, (rows, spans), generator=generator, device=generator.device)
    lengths_S = torch.arange(spans, device=generator.device) * span
    return gaps_BS.sort(1).values + lengths_S
