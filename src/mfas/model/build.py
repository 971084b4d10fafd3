"""A recipe and encoders become a model."""

from dataclasses import replace

from torch import nn

from mfas.audio import SEGMENT_SECONDS
from mfas.config import Recipe
from mfas.encoders.seeds import seeded
from mfas.errors import ModelError
from mfas.fusion import LEVELS, FusionCell, Strategy
from mfas.heads import SIZES, CoAttention, RidgeHead
from mfas.model.batch import Stream
from mfas.model.mfas import MFAS, Projection


def build_model(
    recipe: Recipe,
    sec: Stream | None,
    tec: Stream | None,
    classes: int,
    strategy: Strategy | None,
    seed: int,
) -> MFAS:
    """Put a model together as `recipe` says, with weights that follow from `seed`.

    The cell is the mixture of all operations if `strategy` is None and the recipe asks for a
    search, the fixed operation if a strategy is given, and absent with one encoder or without
    adjustment. Raises `ModelError` if the encoders do not fit each other.
    """
    streams = [stream for stream in (sec, tec) if stream is not None]
    dim = _common_width(recipe, streams)
    fusion = recipe.fusion
    with seeded(seed):
        projections = nn.ModuleDict(
            {
                name: Projection(len(stream.layers), stream.dim, dim)
                for name, stream in (("sec", sec), ("tec", tec))
                if stream is not None and recipe.fusion.dim is not None
            }
        )
        adjusts = len(streams) == 2 and recipe.fusion.strategy != "none"
        cell = (
            FusionCell(
                dim,
                dropout=fusion.dropout,
                ism_form=fusion.ism_form,
                residual=fusion.residual,
                only=strategy,
            )
            if adjusts
            else None
        )
        head = _head(recipe, sec, tec, classes, dim)
    if recipe.head.alexnet_weights is not None:
        _load_alexnet(head, recipe)
    return MFAS(sec, tec, cell, head, projections)


def _head(
    recipe: Recipe, sec: Stream | None, tec: Stream | None, classes: int, dim: int
) -> CoAttention | RidgeHead:
    if recipe.head.kind == "ridge":
        beside = sec is not None and (tec is None or recipe.head.sec_beside)
        read = (len(LEVELS) if beside else 0) + (0 if tec is None else 1)
        return RidgeHead(classes, dim, read, int(recipe.head.context_seconds // SEGMENT_SECONDS))
    size = SIZES[recipe.head.size]
    if recipe.head.dropout is not None:
        size = replace(size, dropout=recipe.head.dropout)
    streams = [stream for stream in (sec, tec) if stream is not None]
    return CoAttention(classes, dim, streams[0].frames_per_segment, len(streams), size)


def _common_width(recipe: Recipe, streams: list[Stream]) -> int:
    if not streams:
        raise ModelError("sec.encoder and tec.encoder are both none; name at least one encoder")
    if len({stream.frames_per_segment for stream in streams}) > 1:
        raise ModelError("the SEC and TEC encoders have different frame rates; choose others")
    widths = {stream.dim for stream in streams}
    if recipe.fusion.dim is None and len(widths) > 1:
        raise ModelError(
            f"the SEC and TEC encoders are {' and '.join(map(str, sorted(widths)))} wide; "
            "set fusion.dim to project both to one width"
        )
    return recipe.fusion.dim or streams[0].dim


def _load_alexnet(head: CoAttention | RidgeHead, recipe: Recipe) -> None:
    if recipe.head.kind != "coattention" or recipe.head.size != "paper":
        raise ModelError("head.alexnet_weights: only head.size = paper has an AlexNet; unset one")
    assert recipe.head.alexnet_weights is not None
    head.image.alexnet.load_pretrained(recipe.head.alexnet_weights)  # type: ignore[union-attr, operator]
