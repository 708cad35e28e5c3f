"""Atomic writes and first-wins publishing."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from lth.errors import RunError
from lth.runs import files


def test_a_failed_write_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    files.atomic_write(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match=r"disk or the quota is full.*Free some space"):
        files.atomic_write(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_of_many_publishers_exactly_one_is_first_and_its_content_stays(tmp_path: Path) -> None:
    path, first = tmp_path / "result.json", []
    start = threading.Barrier(8)

    def publish(number: int) -> None:
        start.wait()
        if files.publish_first(path, f"writer {number}"):
            first.append(number)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(first) == 1
    assert path.read_text() == f"writer {first[0]}"
    assert os.listdir(tmp_path) == ["result.json"]


def test_publishing_works_where_hard_links_are_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", forbidden)
    assert files.publish_first(tmp_path / "r", "one")
    assert not files.publish_first(tmp_path / "r", "two")
    assert (tmp_path / "r").read_text() == "one"


@pytest.mark.parametrize("content", ["", "[1]", "{", "\x00", "[" * 5000])
def test_a_damaged_json_file_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(RunError, match=r"x\.json.*Do this\."):
        files.read_json(tmp_path / "x.json", "Do this.")


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        files.make_folder(tmp_path / "a" / "b")
