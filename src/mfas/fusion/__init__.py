"""SEC at one of three levels adjusts TEC by one of eight operations (arXiv 2306.09361, section 5.1)."""

from mfas.fusion.cell import FusionCell
from mfas.fusion.operations import OPERATIONS
from mfas.fusion.strategy import LEVELS, Strategy, distinct_candidates

__all__ = ["LEVELS", "OPERATIONS", "FusionCell", "Strategy", "distinct_candidates"]
