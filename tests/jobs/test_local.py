"""Jobs give the same results wherever they run, and their errors arrive as they were raised."""

import os
import threading

import pytest
import torch

from mfas.errors import LeakageError
from mfas.jobs import default_workers, run_jobs


@pytest.fixture
def squared_in():
    """A job that says where it ran. Functions of a test module do not reach worker processes."""

    def job(number: int) -> tuple[int, int, int]:
        return number**2, os.getpid(), torch.get_num_threads()

    return job


@pytest.fixture
def refuse_three():
    def job(number: int) -> int:
        if number == 3:
            raise LeakageError("fold 3: speaker leak; set evaluate.allow_optimistic = true")
        return number

    return job


def test_processes_give_every_result_with_its_index_and_keep_to_their_threads(squared_in):
    items = list(range(7, 13))
    results = dict(run_jobs(squared_in, items, workers=2, threads=1))
    assert {i: square for i, (square, _, _) in results.items()} == {
        i: item**2 for i, item in enumerate(items)
    }
    assert os.getpid() not in {process for _, process, _ in results.values()}
    assert {threads for _, _, threads in results.values()} == {1}


@pytest.mark.parametrize(("workers", "kind"), [(2, "processes"), (1, "processes"), (2, "threads")])
def test_an_error_keeps_its_type_and_its_words(refuse_three, workers, kind):
    with pytest.raises(LeakageError) as raised:
        list(run_jobs(refuse_three, range(6), workers, kind=kind))
    assert str(raised.value) == "fold 3: speaker leak; set evaluate.allow_optimistic = true"


def test_one_worker_stays_in_this_process(squared_in):
    assert {process for _, (_, process, _) in run_jobs(squared_in, [1, 2], 1)} == {os.getpid()}


def test_threads_run_side_by_side_and_share_memory():
    together = threading.Barrier(2, timeout=30)
    seen = []

    def meet(item: str) -> str:
        together.wait()
        seen.append(item)
        return item.upper()

    assert dict(run_jobs(meet, ["a", "b"], 2, kind="threads")) == {0: "A", 1: "B"}
    assert sorted(seen) == ["a", "b"]


@pytest.mark.parametrize("kind", ["processes", "threads"])
def test_no_items_give_no_results(squared_in, kind):
    assert list(run_jobs(squared_in, [], 2, kind=kind)) == []


def test_results_come_as_they_are_made():
    finished = []

    def note(item: int) -> int:
        finished.append(item)
        return item

    jobs = run_jobs(note, range(4), 1)
    assert next(jobs) == (0, 0)
    assert len(finished) < 4
    jobs.close()


def test_default_workers_divide_the_cores_of_this_process():
    cores = len(os.sched_getaffinity(0))
    assert default_workers() == cores
    assert default_workers(threads=cores) == 1
    assert default_workers(threads=10 * cores) == 1
