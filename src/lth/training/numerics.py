"""The numerics class: results are promised to be equal bit for bit only within one."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from lth.errors import RunError


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


def be_deterministic(device: torch.device) -> None:
    """Returns nothing; one thread, deterministic algorithms, no autotuned kernels."""
    torch.set_num_threads(1)
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def numerics_class(device: torch.device, precision: str) -> dict[str, str | int | float | bool]:
    """Returns what the bits of a result depend on beside the spec."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "torch": str(torch.__version__),  # a class of its own otherwise, which no safe reader loads
        "device": name,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "world_size": 1,
        "precision": precision,
        "compile": False,
        "layout": "contiguous",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
