"""Segments become SEC levels and TEC frames: our models, Hugging Face models, a cache on disk."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mfas.encoders.base import SEC_LEVELS, Frames, Role, SpeechEncoder
from mfas.encoders.cache import (
    FrameCache,
    Precision,
    cached_frames,
    default_cache_folder,
    encode_corpus,
    encode_segments,
)
from mfas.encoders.front_ends import Convolutions, LogMel
from mfas.encoders.layers import LayerOutput, run_layers
from mfas.encoders.load import load_encoder
from mfas.encoders.settings import (
    COMPACT,
    TABLE1,
    ConvolutionSettings,
    EncoderConfig,
    LogMelSettings,
)
from mfas.encoders.transformer import Features, TransformerEncoder

if TYPE_CHECKING:
    from mfas.encoders.huggingface import HuggingFaceEncoder
    from mfas.encoders.random_models import save_random_huggingface

# transformers takes seconds to import, and our own encoders do not need it
_WITH_TRANSFORMERS = {
    "HuggingFaceEncoder": "mfas.encoders.huggingface",
    "save_random_huggingface": "mfas.encoders.random_models",
}

__all__ = [
    "COMPACT",
    "SEC_LEVELS",
    "TABLE1",
    "ConvolutionSettings",
    "Convolutions",
    "EncoderConfig",
    "Features",
    "FrameCache",
    "Frames",
    "HuggingFaceEncoder",
    "LayerOutput",
    "LogMel",
    "LogMelSettings",
    "Precision",
    "Role",
    "SpeechEncoder",
    "TransformerEncoder",
    "cached_frames",
    "default_cache_folder",
    "encode_corpus",
    "encode_segments",
    "load_encoder",
    "run_layers",
    "save_random_huggingface",
]


def __getattr__(name: str) -> Any:
    """Import what needs transformers when it is first used."""
    if name in _WITH_TRANSFORMERS:
        return getattr(import_module(_WITH_TRANSFORMERS[name]), name)
    raise AttributeError(f"module 'mfas.encoders' has no attribute {name!r}")
