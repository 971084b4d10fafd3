"""Where and how precisely to compute: accelerate picks the device, the recipe the precision."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from mfas.config import TrainSection


def make_accelerator(settings: TrainSection) -> Accelerator:
    """An accelerator for `settings.device` and `settings.precision`.

    accelerate keeps its state per process; it is made anew, since one process may train several
    models with different settings one after the other.
    """
    AcceleratorState._reset_state(reset_partial_state=settings.device == "cpu")
    return Accelerator(
        cpu=settings.device == "cpu",
        mixed_precision="bf16" if _use_bf16(settings) else "no",
    )


def _use_bf16(settings: TrainSection) -> bool:
    if settings.precision == "auto":
        has_gpu = settings.device == "auto" and torch.cuda.is_available()
        return has_gpu and torch.cuda.is_bf16_supported()
    return settings.precision == "bf16"
