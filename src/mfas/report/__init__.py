"""Run folders become tables, figures and one self-contained HTML page."""

from mfas.report.comparison import Pair, incomparable, run_labels
from mfas.report.conflict import conflict_table, write_conflict
from mfas.report.figures import write_figures
from mfas.report.page import write_report, write_search_report
from mfas.report.reading import read_run
from mfas.report.run import Run
from mfas.report.search_evidence import write_search_evidence
from mfas.report.study import write_study
from mfas.report.table2 import write_table2
from mfas.report.terminal import search_table, summary_table

__all__ = [
    "Pair",
    "Run",
    "conflict_table",
    "incomparable",
    "read_run",
    "run_labels",
    "search_table",
    "summary_table",
    "write_conflict",
    "write_figures",
    "write_report",
    "write_search_evidence",
    "write_search_report",
    "write_study",
    "write_table2",
]
