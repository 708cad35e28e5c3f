"""What memory is left: of the machine, of control groups of both versions, of the process's own limits."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from lth.training.headroom import headroom

MIB = 1 << 20


def machine(root: Path, files: dict[str, str]) -> Path:
    """Returns a root folder with the files a Linux machine shows, of 1000 MiB available and no limit."""
    usual = {
        "proc/meminfo": f"MemTotal: {4000 * 1024} kB\nMemAvailable:  {1000 * 1024} kB\nHugePages_Total:  0\n",
        "proc/self/status": "Name:\tpython\nVmSize:\t  1024 kB\nVmData:\t  512 kB\n",
    }
    for name, text in {**usual, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def group(folder: str, limit: str, used: int, cached: int, version: int) -> dict[str, str]:
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    stat = f"anon {used}\n{names[2]} {cached}\nactive_file 7\n"
    return {
        f"{folder}/{names[0]}": f"{limit}\n", f"{folder}/{names[1]}": f"{used}\n", f"{folder}/memory.stat": stat,
    }  # fmt: skip


def test_the_machine_is_shared_among_its_workers(tmp_path: Path) -> None:
    root = machine(tmp_path, {})
    assert headroom(1, root) == (1000 * MIB, "MemAvailable")
    assert headroom(4, root) == (250 * MIB, "MemAvailable")


def test_a_group_of_version_2_counts_with_all_it_lies_in_and_cached_files_are_free(tmp_path: Path) -> None:
    inner = group("sys/fs/cgroup/job/step", str(500 * MIB), 100 * MIB, 20 * MIB, 2)
    outer = group("sys/fs/cgroup/job", str(450 * MIB), 130 * MIB, 30 * MIB, 2)
    none = group("sys/fs/cgroup", "max", 900 * MIB, 0, 2)
    lines = {"proc/self/cgroup": "0::/job/step\n"}
    assert headroom(1, machine(tmp_path / "a", {**lines, **inner, **none})) == (420 * MIB, "the control group")
    assert headroom(1, machine(tmp_path / "b", {**lines, **inner, **outer})) == (350 * MIB, "the control group")
    assert headroom(2, machine(tmp_path / "c", {**lines, **inner, **outer})) == (175 * MIB, "the control group")
    assert headroom(1, machine(tmp_path / "d", {**lines, **none})) == (1000 * MIB, "MemAvailable")


def test_a_group_of_version_1_is_found_inside_a_container_too(tmp_path: Path) -> None:
    lines = {"proc/self/cgroup": "5:cpu,cpuacct:/docker/f00\n4:memory:/docker/f00\n1:name=systemd:/\n0::/\n"}
    outside = group("sys/fs/cgroup/memory/docker/f00", str(300 * MIB), 90 * MIB, 10 * MIB, 1)
    assert headroom(1, machine(tmp_path / "a", {**lines, **outside})) == (220 * MIB, "the control group")
    inside = group("sys/fs/cgroup/memory", str(300 * MIB), 90 * MIB, 0, 1)  # the path is the host's, not seen here
    assert headroom(1, machine(tmp_path / "b", {**lines, **inside})) == (210 * MIB, "the control group")
    unlimited = group("sys/fs/cgroup/memory", "9223372036854771712", 90 * MIB, 0, 1)
    assert headroom(1, machine(tmp_path / "c", {**lines, **unlimited}))[1] == "MemAvailable"


def test_more_used_than_allowed_leaves_nothing_and_a_machine_that_tells_nothing_bounds_nothing(tmp_path: Path) -> None:
    full = {"proc/self/cgroup": "0::/\n", **group("sys/fs/cgroup", str(MIB), 2 * MIB, 0, 2)}
    assert headroom(1, machine(tmp_path, full)) == (0.0, "the control group")
    assert headroom(1, tmp_path / "nothing")[0] == math.inf


@pytest.mark.parametrize("limit", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_a_limit_of_the_process_is_seen_and_not_shared(limit: str) -> None:
    line = {"RLIMIT_AS": "VmSize:", "RLIMIT_DATA": "VmData:"}[limit]
    code = f"""
import resource
from pathlib import Path
from lth.training.headroom import headroom
used = 1024 * int(Path("/proc/self/status").read_text().split("{line}")[1].split()[0])
resource.setrlimit(resource.{limit}, (used + (64 << 20),) * 2)
free, name = headroom(8)
held = bytearray(20 << 20)
print(name, round(free) >> 20, round(free - headroom(8)[0]) >> 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    name, free, taken = done.stdout.split()
    assert (name, 62 <= int(free) <= 64, 19 <= int(taken) <= 21) == (limit, True, True), (done.stdout, done.stderr)
