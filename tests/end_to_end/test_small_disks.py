"""A disk without room, and one without inodes: said with what to do, and the run goes on when there is room again."""

from __future__ import annotations

from pathlib import Path

import pytest
from end_to_end.conftest import hashes, lth, write_spec
from small_disk import SmallDisk


@pytest.mark.parametrize("launcher", ["local", pytest.param("processes", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    ("little", "much", "what", "cure"),
    [
        ("size=3m", "size=200m", "the disk or the quota is full", "Free some space"),
        ("nr_inodes=100", "nr_inodes=2000", "no more files fit on this disk (no inodes are left)", "lth archive"),
    ],
)
def test_a_disk_that_is_full_is_said_and_the_run_goes_on_when_there_is_room(
    finished: Path, tmp_path: Path, small_disk: SmallDisk, launcher: str, little: str, much: str, what: str,
    cure: str,
) -> None:  # fmt: skip
    run, spec = small_disk(little) / "run", write_spec(tmp_path, launcher=launcher)
    full = lth("run", spec, "--into", run)
    assert full.returncode == 2, full.stderr
    assert what in full.stderr
    assert cure in full.stderr
    assert "Traceback" not in full.stderr
    assert hashes(run).items() <= hashes(finished).items()
    assert not list(run.rglob("failed-*.json"))
    small_disk(much)
    again = lth("run", spec, "--into", run)
    assert again.returncode == 0, again.stderr
    assert hashes(run) == hashes(finished)
    assert not list(run.rglob(".*"))
