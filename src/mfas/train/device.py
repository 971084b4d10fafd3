"""Where and how precisely to compute: accelerate picks the device, the recipe the precision."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from mfas.config import ComputeSection


def make_accelerator(settings: ComputeSection) -> Accelerator:
    """An accelerator for `settings.device` and `settings.precision`.

    accelerate keeps its state per process; it is made anew, since one process may train several
    models with different settings one after the other. Several processes on a machine without a GPU
    find each other only if accelerate is told to use the CPU.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        cpu=settings.device == "cpu" or not torch.accelerator.is_available(),
        mixed_precision="bf16" if _use_bf16(settings) else "no",
    )


@contextmanager
def cpu_threads(settings: ComputeSection) -> Iterator[None]:
    """Compute with `settings.threads` CPU threads inside the block.

    How torch splits a sum depends on the number of threads, and so do its last bits: a fixed number
    makes results independent of the machine's cores and of how many folds run at once.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(settings.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _use_bf16(settings: ComputeSection) -> bool:
    if settings.precision == "auto":
        has_gpu = settings.device == "auto" and torch.cuda.is_available()
        return has_gpu and torch.cuda.is_bf16_supported()
    return settings.precision == "bf16"
