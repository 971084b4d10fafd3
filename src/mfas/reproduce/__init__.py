"""The paper's tables and figures, its numbers beside ours, each from one command."""

from mfas.reproduce.configurations import CONFIGURATIONS, PRINTED
from mfas.reproduce.table2 import reproduce_table2, table2_recipe

__all__ = ["CONFIGURATIONS", "PRINTED", "reproduce_table2", "table2_recipe"]
