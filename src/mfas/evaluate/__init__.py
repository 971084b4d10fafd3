"""Honest numbers: metrics, intervals, cross-validation into a run folder, and its verification."""

from mfas.evaluate.bootstrap import Interval, bootstrap_intervals
from mfas.evaluate.crossval import cross_validate, search_folds
from mfas.evaluate.demo import run_demo
from mfas.evaluate.metrics import macro_f1, unweighted_accuracy, weighted_accuracy
from mfas.evaluate.search_comparison import check_search_comparison, compare_searches
from mfas.evaluate.side_by_side import compare_runs
from mfas.evaluate.training import train_model
from mfas.evaluate.verify import verify_run

__all__ = [
    "Interval",
    "bootstrap_intervals",
    "check_search_comparison",
    "compare_runs",
    "compare_searches",
    "cross_validate",
    "macro_f1",
    "run_demo",
    "search_folds",
    "train_model",
    "unweighted_accuracy",
    "verify_run",
    "weighted_accuracy",
]
