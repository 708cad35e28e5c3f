"""Where workers of one machine run: a GPU each, or a group of cores each. Counted without torch."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from lth.grid.place import TORCHRUN, Place, ranks_here

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


def own_place(environment: Mapping[str, str], stands: Place | None) -> dict[str, str]:
    """Returns the variables that give one of several ranks on this machine its own GPU, and tell it how many share it.

    The GPUs go round by local rank. What torchrun starts chooses for itself, and where a scheduler shows each rank
    one GPU there is nothing to choose.
    """
    if stands is None or stands.launcher == TORCHRUN or stands.local_rank is None:
        return {}
    found = gpus(environment)
    ranks = max(ranks_here(environment), stands.local_rank + 1)
    place = {SHARERS: str(math.ceil(ranks / max(1, len(found))))} if ranks > 1 else {}
    return {**place, "CUDA_VISIBLE_DEVICES": found[stands.local_rank % len(found)]} if len(found) > 1 else place


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
