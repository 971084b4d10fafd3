"""Segments become SEC levels and TEC frames: our models, Hugging Face models, a cache on disk."""

from mfas.encoders.base import SEC_LEVELS, Frames, Role, SpeechEncoder
from mfas.encoders.cache import (
    FrameCache,
    Precision,
    cached_frames,
    default_cache_folder,
    encode_corpus,
    encode_segments,
)
from mfas.encoders.huggingface import HuggingFaceEncoder
from mfas.encoders.layers import LayerOutput
from mfas.encoders.load import load_encoder
from mfas.encoders.random_models import save_random_huggingface
from mfas.encoders.settings import (
    COMPACT,
    TABLE1,
    ConvolutionSettings,
    EncoderConfig,
    LogMelSettings,
)
from mfas.encoders.transformer import Features, TransformerEncoder

__all__ = [
    "COMPACT",
    "SEC_LEVELS",
    "TABLE1",
    "ConvolutionSettings",
    "EncoderConfig",
    "Features",
    "FrameCache",
    "Frames",
    "HuggingFaceEncoder",
    "LayerOutput",
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
    "save_random_huggingface",
]
