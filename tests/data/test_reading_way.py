from __future__ import annotations

from pathlib import Path

import pytest

from lth.data.reading_way import file_system, memory, way_of

MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / {data} rw - {kind} server:/export rw
31 30 8:2 / {data}/my\\040disk rw,noatime shared:2 master:3 - xfs /dev/sdb rw
damaged
"""


def world(folder: Path, kind: str = "nfs4", limit: str | None = None) -> Path:
    data = folder / "data"
    (data / "my disk").mkdir(parents=True)
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/mountinfo").write_text(MOUNTS.format(data=data, kind=kind))
    if limit is not None:
        (folder / "sys/fs/cgroup").mkdir(parents=True)
        (folder / "sys/fs/cgroup/memory.max").write_text(limit)
    return data


def test_the_innermost_mount_counts(tmp_path: Path) -> None:
    data = world(tmp_path)
    assert file_system(data, tmp_path) == "nfs4"
    assert file_system(data / "my disk", tmp_path) == "xfs"
    assert file_system(tmp_path, tmp_path) == "ext4"
    assert file_system(data, tmp_path / "nowhere") == ""


@pytest.mark.parametrize(
    ("kind", "way"),
    [("nfs", "pread"), ("lustre", "pread"), ("fuse.sshfs", "pread"), ("ext4", "mmap"), ("tmpfs", "mmap")],
)
def test_the_way_suits_the_file_system(tmp_path: Path, kind: str, way: str) -> None:
    assert way_of(world(tmp_path, kind), 1000, tmp_path) == way


def test_more_than_memory_is_read(tmp_path: Path) -> None:
    data = world(tmp_path, "ext4", "5000\n")
    assert memory(tmp_path) == 5000
    assert (way_of(data, 5000, tmp_path), way_of(data, 5001, tmp_path)) == ("mmap", "pread")


def test_a_group_without_a_limit(tmp_path: Path) -> None:
    world(tmp_path, limit="max\n")
    assert memory(tmp_path) == memory(tmp_path / "nowhere") > 1 << 20
