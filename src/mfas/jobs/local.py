"""Jobs in worker processes or threads of this machine.

A job is a picklable function applied to one item; results come back as they finish, each with the
index of its item. Every worker process keeps to the number of threads it is given, so a result never
depends on how many workers there are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

from joblib import Parallel, cpu_count, delayed, parallel_config

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_workers(threads: int = 1) -> int:
    """How many workers of `threads` threads each fit this process's share of the CPU cores."""
    return max(1, cpu_count() // threads)


def run_jobs(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    threads: int = 1,
    kind: Literal["processes", "threads"] = "processes",
) -> Iterator[tuple[int, Result]]:
    """Yield `(index, function(items[index]))` as jobs finish.

    An exception in a job is raised here and ends the others.
    """

    def indexed(index: int, item: Item) -> tuple[int, Result]:
        return index, function(item)

    backend = (
        parallel_config(backend="loky", inner_max_num_threads=threads)
        if kind == "processes"
        else parallel_config(backend="threading")
    )
    with backend:
        parallel = Parallel(
            n_jobs=min(workers, max(1, len(items))), return_as="generator_unordered"
        )
        yield from parallel(delayed(indexed)(i, item) for i, item in enumerate(items))
