"""The paper's tables and claims, its numbers beside ours, each from one command."""

from mfas.reproduce.check import tables_in
from mfas.reproduce.configurations import CONFIGURATIONS, PRINTED
from mfas.reproduce.conflict import bench_conflict, plan_bench
from mfas.reproduce.studies import STUDIES
from mfas.reproduce.study import check_study, run_study
from mfas.reproduce.table2 import reproduce_table2, table2_recipe

__all__ = [
    "CONFIGURATIONS",
    "PRINTED",
    "STUDIES",
    "bench_conflict",
    "check_study",
    "plan_bench",
    "reproduce_table2",
    "run_study",
    "table2_recipe",
    "tables_in",
]
