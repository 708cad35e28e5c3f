"""What this machine offers: Python, torch, Java, a file system, cores, memory, disk."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from json import loads
from pathlib import Path

from lth.version import __version__

GIBI = 2**30


@dataclass(frozen=True)
class Part:
    """One thing looked at. `required` parts must be `ok` for lth to work; others block only what `blocks` names."""

    name: str
    ok: bool
    found: str
    required: bool = False
    blocks: str = ""
    cure: str = ""


TORCH_PROBE = """
import json, torch
devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
print(json.dumps([torch.__version__, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads(), devices]))
"""


def python() -> Part:
    """Returns whether this Python is one that lth is tested on."""
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    found = f"{platform.python_version()} at {sys.executable}; lth {__version__}"
    return Part("python", fits, found, True, "everything", "" if fits else "Use Python 3.11, 3.12 or 3.13")


def torch() -> Part:
    """Returns whether torch imports, and with which devices; asks another process, so that nothing heavy loads here."""
    try:
        asked = subprocess.run([sys.executable, "-c", TORCH_PROBE], capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _no_torch(f"did not answer: {error}")
    if asked.returncode != 0:
        return _no_torch((asked.stderr.strip().splitlines() or [f"exit code {asked.returncode}"])[-1])
    version, capability, threads, devices = loads(asked.stdout.splitlines()[-1])
    major, minor = (int(number) for number in version.split(".")[:2])
    if (major, minor) < (2, 11):
        return _no_torch(f"{version} is too old")
    gpus = ", ".join(devices) if devices else "no GPU"
    return Part("torch", True, f"{version}; CPU {capability}, {threads} threads by default; {gpus}", True)


def _no_torch(why: str) -> Part:
    return Part("torch", False, why, True, "all training", "Install it with: pip install 'torch>=2.11'")


JAVA_CURE = "Install Java 17 or newer (Debian: openjdk-17-jre-headless), or set JAVA_HOME"


def java() -> Part:
    """Returns whether a Java runtime that Spark can use is found, by JAVA_HOME or else on the path."""
    home = os.environ.get("JAVA_HOME")
    path = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    found = _java_version(path) if path else "none"
    major = re.match(r"(?:1\.)?(\d+)", found)
    fits = bool(major) and int(major[1]) >= 17
    return Part("java", fits, found, False, "work on Spark", "" if fits else JAVA_CURE)


def _java_version(path: str) -> str:
    try:
        told = subprocess.run([path, "-version"], capture_output=True, text=True, errors="replace", timeout=60).stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{path} did not answer: {error}"
    version = re.search(r'version "([^"]+)"', told)
    return f"{version[1]} at {path}" if version else f"{path} is no Java"


def file_system(folder: Path) -> Part:
    """Returns whether `folder` has what run directories rest on: hard links and exclusive creation, both first-wins."""
    try:
        with tempfile.TemporaryDirectory(prefix=".lth-doctor-", dir=folder) as scratch:
            first, second = Path(scratch, "first"), Path(scratch, "second")
            os.close(os.open(first, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.link(first, second)
            broken = [what for what, again in _repeats(first, second).items() if not _refused(again)]
        wrong = f"a second {' and a second '.join(broken)} is not refused" if broken else ""
    except OSError as error:
        wrong = f"no writing or no hard links: {error}"
    found = wrong or f"hard links and exclusive creation work in {folder.resolve()}"
    cure = "Keep runs on another file system: lth run SPEC --into FOLDER" if wrong else ""
    return Part("run folder", not wrong, found, True, "run directories there" if wrong else "", cure)


def _repeats(first: Path, second: Path) -> dict[str, Callable[[], object]]:
    return {
        "exclusive creation": lambda: os.close(os.open(first, os.O_CREAT | os.O_EXCL | os.O_WRONLY)),
        "hard link": lambda: os.link(first, second),
    }


def _refused(again: Callable[[], object]) -> bool:
    try:
        again()
    except FileExistsError:
        return True
    return False


def cores() -> Part:
    """Returns the cores this process may use, by affinity and by the control group's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = (_first_line("/sys/fs/cgroup/cpu.max") or "max").partition(" ")
    limit = f", limited to {int(quota) / int(period or 100_000):.1f} by the control group" if quota.isdigit() else ""
    return Part("cores", True, f"{allowed} of {os.cpu_count()}{limit}; {platform.machine()}", True)


def memory() -> Part:
    """Returns the memory that is free, in GiB; below 1 GiB is too little for training."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else []:
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit = _first_line("/sys/fs/cgroup/memory.max") or "max"
    if limit.isdigit():
        free = min(free, int(limit) - int(_first_line("/sys/fs/cgroup/memory.current") or 0))
    cure = "" if free >= GIBI else "Free some memory, or ask the scheduler for more"
    return Part("memory", free >= GIBI, f"{free / GIBI:.1f} GiB free", False, "training" if cure else "", cure)


def disk(folder: Path) -> Part:
    """Returns the free space of the file system of `folder`, in GiB; below 1 GiB is too little for a run."""
    free = shutil.disk_usage(folder).free
    cure = "" if free >= GIBI else "Free some space, or keep runs elsewhere: lth run SPEC --into FOLDER"
    return Part("disk", free >= GIBI, f"{free / GIBI:.1f} GiB free", False, "larger runs" if cure else "", cure)


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text().splitlines()[0]
    except (OSError, IndexError):
        return None
