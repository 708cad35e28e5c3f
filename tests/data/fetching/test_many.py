"""Many files of a list at once, killed and gone on with, and what Spark is sent."""

from __future__ import annotations

import pickle  # noqa: TID251  # as Spark sends things
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

from data.fetching.brought import CONTENT, QUICK, good, item
from data.web import Web, sha256

from lth.data.fetching.listed import fetch_all, fetch_item


def test_many_files_and_a_missing_one(web: Web, tmp_path: Path) -> None:
    wanted = []
    for number in range(40):
        path = f"/train/class{number % 3}/{number}.bin"
        web.files[path] = bytes([number]) * 500
        wanted.append(item(web, path, web.files[path]))
    web.faults[wanted[7].url.removeprefix(web.url(""))] = ["status 404"]
    reports = {one.name: one for one in fetch_all(wanted, tmp_path, 8, QUICK)}
    assert [name for name, one in reports.items() if one.state == "failed"] == [wanted[7].name]
    again = list(fetch_all(wanted, tmp_path, 8, QUICK))
    assert sorted(one.state for one in again) == ["fetched"] + 39 * ["there"]
    for one in wanted:
        assert sha256((tmp_path / one.name).read_bytes()) == one.sha256


def test_two_at_once_bring_one_whole_file(web: Web, tmp_path: Path) -> None:
    web.faults["/a"] = ["truncated 10000"]
    states = []
    threads = [
        threading.Thread(target=lambda: states.append(fetch_item(item(web), tmp_path, QUICK).state)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states) == ["fetched", "there", "there", "there"]
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert sum(header is None for header in web.ranges("/a")) == 1


def test_a_killed_fetch_goes_on_where_it_was(web: Web, tmp_path: Path) -> None:
    web.faults["/a"] = ["stall 40000"]
    call = f"fetch_item({item(web)!r}, Path({str(tmp_path)!r}))"
    code = f"from pathlib import Path; from lth.data.fetching.listed import Item, fetch_item; {call}"
    part = tmp_path / "a.part"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while not (part.exists() and part.stat().st_size >= 40_000):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "a").exists()
    good(fetch_item(item(web), tmp_path, QUICK), tmp_path)
    assert web.ranges("/a")[1:] == ["bytes=40000-"]


def test_what_spark_sends_to_its_workers_can_be_sent(web: Web, tmp_path: Path) -> None:
    bring = pickle.loads(pickle.dumps(partial(fetch_item, folder=tmp_path)))
    report = good(bring(pickle.loads(pickle.dumps(item(web)))), tmp_path)
    assert pickle.loads(pickle.dumps(report)) == report
