"""A disk without room, and one without inodes: said with what to do, and the run goes on when there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from end_to_end.conftest import hashes, lth, write_spec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NO SMALL DISK: only root can mount one to fill up")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Lends a function that returns a small disk with these mount options; called again it changes them."""
    small = tmp_path / "disk"

    def mounted(options: str) -> Path:
        again = small.exists()
        small.mkdir(exist_ok=True)
        told = ["-o", f"remount,{options}"] if again else ["-t", "tmpfs", "-o", options, "lth-test"]
        if subprocess.run(["mount", *told, str(small)], capture_output=True).returncode:
            pytest.skip("NO SMALL DISK: this machine does not allow mounting a tmpfs")
        return small

    yield mounted
    if small.exists():
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.parametrize("launcher", ["local", pytest.param("processes", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("little", "much", "what", "cure"),
    [
        ("size=3m", "size=200m", "the disk or the quota is full", "Free some space"),
        ("nr_inodes=100", "nr_inodes=2000", "no more files fit on this disk (no inodes are left)", "lth archive"),
    ],
)
def test_a_disk_that_is_full_is_said_and_the_run_goes_on_when_there_is_room(
    finished: Path, tmp_path: Path, disk: Callable[[str], Path], launcher: str, little: str, much: str, what: str,
    cure: str,
) -> None:  # fmt: skip
    run, spec = disk(little) / "run", write_spec(tmp_path, launcher=launcher)
    full = lth("run", spec, "--into", run)
    assert full.returncode == 2, full.stderr
    assert what in full.stderr
    assert cure in full.stderr
    assert "Traceback" not in full.stderr
    assert hashes(run).items() <= hashes(finished).items()
    assert not list(run.rglob("failed-*.json"))
    disk(much)
    again = lth("run", spec, "--into", run)
    assert again.returncode == 0, again.stderr
    assert hashes(run) == hashes(finished)
    assert not list(run.rglob(".*"))
