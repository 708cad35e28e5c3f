"""The numerics class: results are promised to be equal bit for bit only within one."""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

import torch

from lth.errors import RunError
from lth.spec.recipe import Train

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def pick_device(wanted: str) -> torch.device:
    """Returns the device that `execute.device` names; "auto" is CUDA where there is one.

    Raises RunError where "cuda" is asked for and there is none.
    """
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        cure = 'Take "auto" or "cpu", or run on a machine with a GPU and a CUDA build of torch.'
        raise RunError("no CUDA device here", at="execute.device", value=wanted, cure=cure)
    return torch.device(wanted)


def set_numerics(device: torch.device, recipe: Train) -> None:
    """Returns nothing; one thread, and on CUDA the kernels that the recipe allows.

    Deterministic: deterministic algorithms, no autotuned kernels. Raises RunError for tf32 without a GPU.
    """
    torch.set_num_threads(1)
    if device.type != "cuda":
        if recipe.precision == "tf32":
            cure = 'Take "fp32" or "bf16", or run on a machine with a GPU.'
            raise RunError("tf32 is a format of GPUs", at="train.precision", value="tf32", cure=cure)
        return
    if recipe.deterministic:
        os.environ.setdefault(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(recipe.deterministic)
    torch.backends.cudnn.benchmark = not recipe.deterministic
    torch.backends.cuda.matmul.allow_tf32 = recipe.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = recipe.precision == "tf32"


def keep_freed_memory() -> bool:
    """Returns whether the C library now keeps the memory that a step frees for the next step (glibc does, if asked).

    Left alone it gives large pieces back, and the system has to clear every page of them again at each step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))


def numerics_class(
    device: torch.device, recipe: Train, *, channels_last: bool, world: int = 1
) -> dict[str, str | int | float | bool]:
    """Returns what the bits of a result depend on beside the spec."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "torch": str(torch.__version__),  # a class of its own otherwise, which no safe reader loads
        "device": name,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "world_size": world,
        "precision": recipe.precision,
        "compile": recipe.compile,
        "layout": "channels_last" if channels_last else "contiguous",
        "deterministic": recipe.deterministic,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
