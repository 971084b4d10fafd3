"""Run folders become tables, figures and one self-contained HTML page."""

from mfas.report.figures import write_figures
from mfas.report.page import write_report
from mfas.report.reading import read_run
from mfas.report.run import Run
from mfas.report.terminal import summary_table

__all__ = ["Run", "read_run", "summary_table", "write_figures", "write_report"]
