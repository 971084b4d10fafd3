"""MFAS put together: encoders, Fusion Cell and head, built from a recipe, kept in a folder."""

from mfas.model.batch import Batch, StoredFrames, Stream, joined
from mfas.model.build import build_model
from mfas.model.folder import ModelCard, load_model, save_model
from mfas.model.mfas import MFAS, Projection

__all__ = [
    "MFAS",
    "Batch",
    "ModelCard",
    "Projection",
    "StoredFrames",
    "Stream",
    "build_model",
    "joined",
    "load_model",
    "save_model",
]
