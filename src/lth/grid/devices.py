"""Where workers of one machine run: a GPU each, or a group of cores each. Counted without torch."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")
WORKERS, SHARERS = "LTH_WORKERS", "LTH_SHARERS"  # told to workers, who see no more than their own place
LISTED = re.compile(r"^(GPU|\s+MIG) .*\(UUID: ([^)]+)\)", re.M)


def gpus(environment: Mapping[str, str], driver: Path = DRIVER) -> tuple[str, ...]:
    """Returns the names, for CUDA_VISIBLE_DEVICES, of the GPUs or MIG instances this process may use.

    An inherited CUDA_VISIBLE_DEVICES is what a scheduler has granted, and is all that is shared out; as for
    CUDA, what follows a "-1" in it does not count.
    """
    granted = environment.get("CUDA_VISIBLE_DEVICES")
    if granted is None:
        return _present(environment.get("PATH", ""), driver)
    names = [name.strip() for name in granted.split(",")]
    end = next((at for at, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))
    return tuple(names[:end])


def listed(text: str) -> tuple[str, ...]:
    """Returns the devices in the output of `nvidia-smi -L`; a GPU that is divided counts as its MIG instances."""
    found: list[str] = []
    whole = ""
    for kind, name in LISTED.findall(text):
        if kind == "GPU":
            whole = name
        elif whole in found:
            found.remove(whole)
        found.append(name)
    return tuple(found)


def core_groups(cores: Sequence[int], workers: int) -> list[tuple[int, ...]]:
    """Returns the cores of each worker: neighbours, shared out evenly; with too few cores, workers share them."""
    if workers > len(cores):
        return [(cores[number % len(cores)],) for number in range(workers)]
    ends = [len(cores) * number // workers for number in range(workers + 1)]
    return [tuple(cores[begin:end]) for begin, end in pairwise(ends)]


def cores_here() -> list[int]:
    """Returns the cores this process may use, as the scheduler has set its affinity."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@cache  # a machine's devices do not change, and asking for them takes up to a second
def _present(path: str, driver: Path) -> tuple[str, ...]:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=60
        )
        if answer.returncode == 0:
            return listed(answer.stdout)
    except (OSError, subprocess.TimeoutExpired):
        pass
    return tuple(str(number) for number, _ in enumerate(driver.iterdir())) if driver.is_dir() else ()
