"""What a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from datetime import date
from pathlib import Path


def describe(*packages: str) -> str:
    """Returns one line: date, processor, its cores, Python and the versions of `packages`."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
    ]
    processor = names[0] if names else platform.processor() or platform.machine()
    versions = [f"{package} {importlib.metadata.version(package)}" for package in packages]
    parts = [date.today().isoformat(), f"{processor}, {os.cpu_count()} cores", f"Python {platform.python_version()}"]
    return "; ".join([*parts, *versions])
