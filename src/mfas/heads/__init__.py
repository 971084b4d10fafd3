"""Frames become class scores: Co-attention with one or two streams, or pooled frames in closed form."""

from mfas.heads.coattention import CoAttention
from mfas.heads.ridge import KernelRidge, RidgeHead, Voice, gaussian_kernel
from mfas.heads.sizes import SIZES, HeadSize
from mfas.heads.views import SpectrogramScale, Standard

__all__ = [
    "SIZES",
    "CoAttention",
    "HeadSize",
    "KernelRidge",
    "RidgeHead",
    "SpectrogramScale",
    "Standard",
    "Voice",
    "gaussian_kernel",
]
