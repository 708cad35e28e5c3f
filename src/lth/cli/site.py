"""What a site sets limits to: the clock of its file server, files, open files, processes."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

from lth.cli.machine import Part

SKEW_SECONDS = 5.0
FEW_FILES = 20_000
OPEN_FILES, PROCESSES = 256, 64  # what a worker with shards and its threads may need, and several workers


def clock(folder: Path) -> Part:
    """Returns how far this machine's clock is from that of the file system of `folder`, in seconds."""
    with tempfile.NamedTemporaryFile(prefix=".lth-doctor-", dir=folder) as probe:
        before = time.time()
        os.utime(probe.name)  # to the server's present, where the server is another machine
        skew = os.stat(probe.name).st_mtime - (before + time.time()) / 2
    if abs(skew) <= SKEW_SECONDS:
        return Part("clock", True, "agrees with the file system's")
    found = f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} the file system's"
    blocks = "nothing of lth, whose claims go by the file system's clock; but make, rsync and the times in logs mislead"
    return Part("clock", False, found, False, blocks, "Have this machine's clock set (NTP)")


def inodes(folder: Path) -> Part:
    """Returns how many more files the file system of `folder` takes, as far as it tells."""
    told = os.statvfs(folder)
    if told.f_files == 0:
        return Part("files", True, "the file system sets no limit that it tells of")
    enough = told.f_favail >= FEW_FILES
    cure = "" if enough else "Delete old runs after `lth archive`, or keep runs on another file system"
    return Part(
        "files", enough, f"{told.f_favail:,} more", False, "grids of thousands of tickets" if cure else "", cure
    )


def limits() -> Part:
    """Returns how many open files and processes this user may have."""
    wanted = {"open files": (resource.RLIMIT_NOFILE, OPEN_FILES), "processes": (resource.RLIMIT_NPROC, PROCESSES)}
    soft = {name: resource.getrlimit(number)[0] for name, (number, _) in wanted.items()}
    few = [f"{name} {soft[name]}" for name, (_, least) in wanted.items() if 0 <= soft[name] < least]
    if few:
        cure = f"Raise them in the job's script: ulimit -n {OPEN_FILES}; ulimit -u {PROCESSES}"
        return Part("limits", False, f"at most {', '.join(few)}", False, "many shards or workers on one machine", cure)
    return Part("limits", True, ", ".join(f"{name} {_number(limit)}" for name, limit in soft.items()))


def _number(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else f"{limit:,}"
