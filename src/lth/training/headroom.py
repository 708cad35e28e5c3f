"""How much more memory this process may take on its machine."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from pathlib import Path

# The files of a control group: its limit, its use, and the line of memory.stat that counts cached files, which
# the kernel gives up when memory runs short. Version 2, then version 1.
CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def headroom(sharers: int = 1, root: Path = Path("/")) -> tuple[float, str]:
    """Returns the bytes that this process may still take, and the name of what bounds them.

    The least of: the machine's available memory and that of every control group the process is in, both
    divided among `sharers` processes, and its own RLIMIT_AS and RLIMIT_DATA. Infinite where none is known.
    """
    machine = _fields(root / "proc/meminfo").get("MemAvailable", math.inf)
    own = _fields(root / "proc/self/status")
    bounds = {
        "MemAvailable": machine / sharers,
        "the control group": min(_groups(root), default=math.inf) / sharers,
        "RLIMIT_AS": _limit(resource.RLIMIT_AS, own.get("VmSize")),
        "RLIMIT_DATA": _limit(resource.RLIMIT_DATA, own.get("VmData")),
    }
    name = min(bounds, key=lambda key: bounds[key])
    return max(0.0, bounds[name]), name


def _fields(path: Path) -> dict[str, float]:
    """The lines "Name: 123 kB" of a file under /proc, in bytes; none where there is no such file."""
    try:
        lines = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return {}
    return {words[0].rstrip(":"): 1024.0 * int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}


def _limit(kind: int, used: float | None) -> float:
    soft, _ = resource.getrlimit(kind)
    return math.inf if soft == resource.RLIM_INFINITY or used is None else soft - used


def _groups(root: Path) -> Iterator[float]:
    """The headroom of the process's control group and of each that it lies in; version 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mounts = ("sys/fs/cgroup/memory",) if controllers else ("sys/fs/cgroup", "sys/fs/cgroup/unified")
        for mount in (root / mount for mount in mounts):
            inside = mount / path.lstrip("/")
            for folder in (inside, *inside.parents):
                yield from _group(folder)
                if folder == mount:
                    break


def _group(folder: Path) -> Iterator[float]:
    for limit, used, cached in CGROUP_FILES:
        try:
            most, now = (folder / limit).read_text().strip(), int((folder / used).read_text())
            files = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
        except OSError:
            continue
        if most != "max":
            yield int(most) - now + sum(int(value) for name, value in files if name == cached)
