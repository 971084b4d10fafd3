"""Do the runs of a folder still say what its tables say?"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from mfas.evaluate import check_search_comparison, verify_run
from mfas.evaluate.search_comparison import TABLE as EVIDENCE
from mfas.reproduce.conflict import TABLE as CONFLICT
from mfas.reproduce.conflict import check_conflict
from mfas.reproduce.studies import STUDIES
from mfas.reproduce.study import check_study
from mfas.reproduce.table2 import TABLE as TABLE2
from mfas.reproduce.table2 import check_table2


def tables_in(out: Path) -> dict[str, Callable[[], list[str]]]:
    """The tables that lie in `out`, by file; each can be asked for its faults, one line each.

    Tables that share runs share what was found of them. Asking raises `RunError` if a part cannot be
    read.
    """
    verify = cache(verify_run)
    checks: dict[str, Callable[[], list[str]]] = {
        f"{name}.json": partial(check_study, out, name, verify) for name in STUDIES
    }
    checks |= {
        CONFLICT: partial(check_conflict, out, verify),
        TABLE2: partial(check_table2, out),
        EVIDENCE: partial(check_search_comparison, out),
    }
    return {name: check for name, check in checks.items() if (out / name).is_file()}
