"""Small disks to fill up."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engines.require import require

SmallDisk = Callable[[str], Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Lends a function that returns a disk with these mount options ("size=3m"); called again it changes them."""
    folder = tmp_path / "disk"

    def mounted(options: str) -> Path:
        told = ["-o", f"remount,{options}"] if folder.exists() else ["-t", "tmpfs", "-o", options, "lth-test"]
        folder.mkdir(exist_ok=True)
        done = os.geteuid() == 0 and subprocess.run(["mount", *told, str(folder)], capture_output=True).returncode == 0
        require(done, "NO SMALL DISK: only root can mount a tmpfs to fill up, where that is allowed")
        return folder

    yield mounted
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)
