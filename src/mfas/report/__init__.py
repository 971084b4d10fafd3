"""Run folders become tables, figures and one self-contained HTML page."""

from mfas.report.conflict import conflict_table, write_conflict
from mfas.report.figures import write_figures
from mfas.report.page import write_report, write_search_report
from mfas.report.reading import read_run
from mfas.report.run import Run
from mfas.report.table2 import write_table2
from mfas.report.terminal import search_table, summary_table

__all__ = [
    "Run",
    "conflict_table",
    "read_run",
    "search_table",
    "summary_table",
    "write_conflict",
    "write_figures",
    "write_report",
    "write_search_report",
    "write_table2",
]
