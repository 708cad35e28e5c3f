"""Copies on a node's own disk: whole or absent, one for all processes, gone on with after an interruption."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from lth.data.care import stage as module
from lth.data.care.stage import planned, stage
from lth.data.care.verify import verify
from lth.errors import DataError, RunError


def whole(folder: Path, out: Path) -> None:
    assert not verify(folder).findings
    for path in out.glob("t*/*"):
        assert (folder / path.relative_to(out)).read_bytes() == path.read_bytes()


@pytest.fixture
def local(tmp_path: Path) -> Path:
    return tmp_path / "disk" / "of" / "node"


def test_a_copy_is_whole_and_kept(raw_shards: Path, jpeg_shards: Path, local: Path) -> None:
    said: list[str] = []
    read: list[int] = []
    folder = stage(raw_shards, local, told=read.append, say=said.append)
    whole(folder, raw_shards)
    assert folder.parent == local
    assert sum(read) == verify(raw_shards, quick=True).bytes
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert stage(raw_shards, local, say=said.append) == folder
    assert len(said) == 1
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    other = stage(jpeg_shards, local)
    assert other != folder
    whole(other, jpeg_shards)
    assert sorted(path.name for path in local.iterdir()) == sorted([".lth-claims", folder.name, other.name])


def test_a_damaged_copy_is_mended_from_what_is_whole_of_it(raw_shards: Path, local: Path) -> None:
    folder = stage(raw_shards, local)
    kept = folder / "train" / "shard-00000.npy"
    inode = kept.stat().st_ino
    os.truncate(folder / "train" / "shard-00001.npy", 5000)
    (folder / "test" / "labels.npy").unlink()
    assert stage(raw_shards, local) == folder
    whole(folder, raw_shards)
    assert kept.stat().st_ino == inode, "not copied again"


def test_what_an_interrupted_copy_left_is_checked(raw_shards: Path, local: Path) -> None:
    copy = planned(raw_shards, local)
    shutil.copytree(raw_shards / "train", copy.work / "train")
    changed = copy.work / "train" / "shard-00000.npy"
    content = bytearray(changed.read_bytes())
    content[5000] ^= 1
    changed.write_bytes(content)
    (copy.work / "train" / ".shard-00001.npy.tmp").write_bytes(b"half")
    (copy.work / "train" / "stray").mkdir()
    whole(stage(raw_shards, local), raw_shards)
    assert not copy.work.exists()


def test_a_damaged_source_is_named_and_nothing_appears(raw_shards: Path, local: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(raw_shards, tmp_path / "out"))
    shard = out / "train" / "shard-00001.npy"
    good = shard.read_bytes()
    for bad in (good[:-1], good + b"x", good[:4200] + b"?" + good[4201:]):
        shard.write_bytes(bad)
        with pytest.raises(DataError, match=r"train/shard-00001\.npy"):
            stage(out, local)
        assert not planned(out, local).folder.exists()
    shard.unlink()
    with pytest.raises(DataError, match=r"train/shard-00001\.npy: missing"):
        stage(out, local)
    os.mkfifo(shard)
    with pytest.raises(DataError, match=r"train/shard-00001\.npy: not a plain file"):
        stage(out, local)
    shard.unlink()
    shard.write_bytes(good)
    whole(stage(out, local), out)


def test_no_room_and_no_folder(raw_shards: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: usage(1 << 20, 1 << 20, 1 << 10))
        with pytest.raises(DataError, match="1024 are free"):
            stage(raw_shards, local)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file stands"):
        stage(raw_shards, tmp_path / "file")
    with pytest.raises(DataError, match="no prepared data"):
        stage(tmp_path, local)


def command(out: Path, local: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "lth", "data", "stage", str(out), str(local), *more]


def test_of_many_processes_one_copies(raw_shards: Path, local: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen(command(raw_shards, local), **pipes) for _ in range(4)]
    told = [process.communicate() for process in started]
    assert [process.returncode for process in started] == 4 * [0], told
    assert {out.splitlines()[-1] for out, _ in told} == {str(planned(raw_shards, local).folder)}
    assert sum("copying" in err for _, err in told) == 1
    whole(planned(raw_shards, local).folder, raw_shards)


PAUSING = """
import signal, sys
from pathlib import Path
from lth.data.care.stage import stage
copied = 0
def told(count):
    global copied
    copied += count
    if copied > int(sys.argv[3]):
        print("half", flush=True)
        signal.pause()
stage(Path(sys.argv[1]), Path(sys.argv[2]), jobs=1, told=told)
"""


def test_killed_while_copying_it_goes_on(drawn: Path, tmp_path: Path, local: Path) -> None:
    from data.shards import prepared

    out = prepared(drawn, tmp_path / "large", size=192)
    copy = planned(out, local)
    sizes = [file.bytes for _, file in copy.files()]
    for files in (1, 2):  # killed in the middle of the second file, then of the third
        limit = sum(sizes[:files]) + sizes[files] // 2
        arguments = [sys.executable, "-c", PAUSING, str(out), str(local), str(limit)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"half\n"
            process.send_signal(signal.SIGKILL)
        assert not copy.folder.exists()
        paths = [copy.work / part / file.name for part, file in copy.files()]
        assert [path.exists() for path in paths[: files + 1]] == files * [True] + [False]
    kept = {path.relative_to(copy.work): path.stat().st_ino for path in paths[:2]}
    assert stage(out, local) == copy.folder
    whole(copy.folder, out)
    assert {name: (copy.folder / name).stat().st_ino for name in kept} == kept
