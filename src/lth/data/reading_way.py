"""Which way of reading rows suits the place where they lie."""

from __future__ import annotations

import os
from pathlib import Path

# Where a page fault is a round trip, and a file may change under a mapping: names as the kernel gives them.
REMOTE = ("nfs", "lustre", "gpfs", "fuse", "ceph", "beegfs", "cifs", "smb", "9p", "afs", "orangefs", "pvfs", "panfs")


def way_of(folder: Path, size: int, root: Path = Path("/")) -> str:
    """Returns "pread" for shards of `size` bytes on a network file system or larger than memory, else "mmap".

    `root` is where /proc and /sys are looked for.
    """
    kind = file_system(folder, root)
    return "pread" if kind.startswith(REMOTE) or size > memory(root) else "mmap"


def file_system(folder: Path, root: Path = Path("/")) -> str:
    """Returns the kind of file system that holds the folder, as the kernel names it ("ext4"), "" where it is unknown.

    Of the mounts in /proc/self/mountinfo it is the innermost one; of two at one place, the later.
    """
    try:
        lines = (root / "proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
        here = folder.resolve()
    except OSError:
        return ""
    best, kind = -1, ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:
            continue
        mount = Path(words[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if here.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), rest.split(" ")[0]
    return kind


def memory(root: Path = Path("/")) -> int:
    """Returns the bytes of memory that this machine, or the container that this process is in, has."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return min(machine, int((root / name).read_text()))
        except (OSError, ValueError):
            continue
    return machine
