"""Views and adjusted frames become class scores: Co-attention with one or two streams."""

from mfas.heads.coattention import CoAttention
from mfas.heads.sizes import SIZES, HeadSize
from mfas.heads.views import SpectrogramScale, Standard

__all__ = ["SIZES", "CoAttention", "HeadSize", "SpectrogramScale", "Standard"]
