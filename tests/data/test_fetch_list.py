"""Lists of files from a web server on the loopback interface that misbehaves in every way that was thought of."""

from __future__ import annotations

import os
import pickle  # noqa: TID251  # as Spark sends things
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from data.web import Web, serving, sha256
from hypothesis import given
from hypothesis import strategies as st

from lth.data.download import Patience, retry_after
from lth.data.fetch_list import FetchReport, Item, checked_name, fetch_all, fetch_item, read_list
from lth.errors import DataError

CONTENT = random.Random(5).randbytes(50_000)
QUICK = Patience(tries=4, timeout=5.0, first_wait=0.0, longest_wait=0.01)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        web.files["/a"] = CONTENT
        yield web


def item(web: Web, path: str = "/a", content: bytes = CONTENT) -> Item:
    return Item(web.url(path), sha256(content), path.lstrip("/"))


def good(report: FetchReport, folder: Path) -> FetchReport:
    assert report.reason is None
    assert report.state == "fetched"
    assert (folder / "a").read_bytes() == CONTENT
    assert not (folder / "a.part").exists()
    return report


def test_a_file_is_fetched_once(web: Web, tmp_path: Path) -> None:
    report = good(fetch_item(item(web), tmp_path, QUICK), tmp_path)
    assert report.brought == len(CONTENT)
    assert fetch_item(item(web), tmp_path, QUICK).state == "there"
    assert len(web.asked) == 1
    (tmp_path / "a").write_bytes(b"something else")
    good(fetch_item(item(web), tmp_path, QUICK), tmp_path)


@pytest.mark.parametrize(
    "faults",
    [
        ["status 503"],
        ["status 429,0", "status 503,0", "status 500"],
        ["status 503,Wed, 21 Oct 2015 07:28:00 GMT"],
        ["status 503,soon"],
        ["truncated 1234"],
        ["truncated 0", "truncated 1", "truncated 2"],
        ["truncated 1000", "no_range"],
        ["truncated 1000", "wrong_range bytes_0-49999/50000"],
        ["truncated 1000", "wrong_range bytes_1000-1999/2000"],
        ["truncated 1000", "wrong_range nonsense"],
        ["truncated 1000", "status 416"],
        ["truncated 1000", "status 206"],
        ["status 206"],
        ["no_length"],
        ["chunked"],
        ["chunked cut"],
        ["garbage"],
        ["redirect /a"],
    ],
)
def test_a_server_that_stumbles_is_borne_with(web: Web, tmp_path: Path, faults: list[str]) -> None:
    web.faults["/a"] = list(faults)
    good(fetch_item(item(web), tmp_path, QUICK), tmp_path)
    assert not web.faults["/a"]


def test_a_cut_answer_is_gone_on_with(web: Web, tmp_path: Path) -> None:
    web.faults["/a"] = ["truncated 1000", "truncated 500"]
    report = good(fetch_item(item(web), tmp_path, QUICK), tmp_path)
    assert web.ranges("/a") == [None, "bytes=1000-", "bytes=1500-"]
    assert report.brought == len(CONTENT)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("status 404 always", "404"),
        ("status 403 always", "403"),
        ("status 503 always", "given up after 4 tries: 503"),
        ("truncated 0 always", "given up after 4 tries: the answer ended after 0 of 50000 bytes"),
        ("garbage always", "given up after 4 tries"),
        ("redirect /a always", "redirect"),
        ("redirect file:///etc/passwd", "file:///etc/passwd"),
        ("redirect ftp://127.0.0.1/a", "no web address"),
        ("huge always", "bytes are to come"),
    ],
)
def test_a_server_that_fails_is_named_with_its_reason(web: Web, tmp_path: Path, fault: str, reason: str) -> None:
    web.faults["/a"] = [fault]
    report = fetch_item(item(web), tmp_path, QUICK)
    assert (report.state, report.name) == ("failed", "a")
    assert reason in str(report.reason)
    assert web.url("/a") in str(report.reason)
    assert not (tmp_path / "a").exists()
    assert len(web.asked) <= 11


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    with serving() as web:
        nobody = item(web)
    report = fetch_item(nobody, tmp_path, QUICK)
    assert report.state == "failed"
    assert "refused" in str(report.reason)


def test_a_stalled_server_is_left_after_a_time_and_its_bytes_kept(web: Web, tmp_path: Path) -> None:
    web.faults["/a"] = ["stall 700"]
    good(fetch_item(item(web), tmp_path, Patience(timeout=0.3, first_wait=0.0)), tmp_path)
    assert web.ranges("/a") == [None, "bytes=700-"]


def test_a_server_that_drips_is_left_too(web: Web, tmp_path: Path) -> None:
    web.faults["/a"] = ["drip always"]
    report = fetch_item(item(web), tmp_path, Patience(tries=2, timeout=0.2, first_wait=0.0))
    assert "bytes came in" in str(report.reason)


def test_a_wrong_file_is_removed_and_told(web: Web, tmp_path: Path) -> None:
    wanted = item(web, content=b"another")
    report = fetch_item(wanted, tmp_path, QUICK)
    assert "checksum" in str(report.reason)
    assert sha256(CONTENT) in str(report.reason)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_beginning_is_fetched_again_from_the_start(web: Web, tmp_path: Path) -> None:
    for left in (b"x" * 1000, b"y" * len(CONTENT), b"z" * (2 * len(CONTENT))):
        (tmp_path / "a.part").write_bytes(left)
        good(fetch_item(item(web), tmp_path, QUICK), tmp_path)
        (tmp_path / "a").unlink()


def test_a_whole_part_needs_no_byte_more(web: Web, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(CONTENT)
    assert good(fetch_item(item(web), tmp_path, QUICK), tmp_path).brought == 0


def test_proxies_are_those_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        proxy.files["http://pictures.invalid/a"] = CONTENT
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        good(fetch_item(Item("http://pictures.invalid/a", sha256(CONTENT), "a"), tmp_path, QUICK), tmp_path)
        monkeypatch.setenv("no_proxy", "pictures.invalid")
        (tmp_path / "a").unlink()
        report = fetch_item(Item("http://pictures.invalid/a", sha256(CONTENT), "a"), tmp_path, QUICK)
        assert report.state == "failed", "not by the proxy"
        assert len(proxy.asked) == 1


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
    code = f"from pathlib import Path; from lth.data.fetch_list import Item, fetch_item; {call}"
    part = tmp_path / "a.part"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        while not (part.exists() and part.stat().st_size >= 32768):
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    have = part.stat().st_size
    assert not (tmp_path / "a").exists()
    good(fetch_item(item(web), tmp_path, QUICK), tmp_path)
    assert web.ranges("/a")[1:] == [f"bytes={have}-"]


def test_what_spark_sends_to_its_workers_can_be_sent(web: Web, tmp_path: Path) -> None:
    bring = pickle.loads(pickle.dumps(partial(fetch_item, folder=tmp_path)))
    report = good(bring(pickle.loads(pickle.dumps(item(web)))), tmp_path)
    assert pickle.loads(pickle.dumps(report)) == report


def test_a_full_list(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    one, two = sha256(b"1"), sha256(b"2")
    text = f"# two files\n\nhttp://h/x/a%20b.tar {one}\n  https://h:8/?q=1#f {two.upper()} train/n01/a b.jpg  \n"
    path.write_text(text)
    assert read_list(path) == [
        Item("http://h/x/a%20b.tar", one, "a b.tar"),
        Item("https://h:8/?q=1#f", two, "train/n01/a b.jpg"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("file:///etc/passwd {} x", "not an http or https address"),
        ("ftp://h/x {}", "not an http or https address"),
        ("http:///x {}", "not an http or https address"),
        ("http://h/x", "sha256"),
        ("http://h/x 123", "sha256"),
        ("http://me:secret@h/x {}", "user name"),
        ("http://h/\u00e4 {}", "ASCII"),
        ("http://h:port/x {}", "Port"),
        ("http://[h/x {}", "Invalid"),
        ("http://h/ {}", "empty"),
        ("http://h/x {} ../x", "leads out"),
        ("http://h/x {} /etc/x", "leads out"),
        ("http://h/%2e%2e {}", "leads out"),
        ("http://h/a%2fb/../%2fc {}", "leads out"),
        ("http://h/x {} a//b", "leads out"),
        ("http://h/x {} .hidden", "hidden"),
        ("http://h/x {} x.part", "odd"),
        ("http://h/x {} x.part/y", "odd"),
        ("http://h/x {} a\\b", "odd"),
        ("http://h/%00 {}", "odd"),
        ("http://h/%0a {}", "odd"),
        ("http://h/x {} " + 201 * "n", "too long"),
        ("http://h/x {0} y\nhttp://h/z {0} y", "two files"),
        ("http://h/x {0} y\nhttp://h/z {0} y/z", "a file and a folder"),
        ("# nothing", "no file is named"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "urls.txt"
    path.write_text(line.format(64 * "a") + "\n")
    with pytest.raises(DataError, match=reason) as raised:
        read_list(path)
    assert str(path) in str(raised.value)


def test_all_bad_lines_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_bytes(b"\xff\n" + b"nonsense\n" * 30)
    with pytest.raises(DataError, match=r"line 1: .*\n  line 2: (.|\n)*and 11 more"):
        read_list(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_list(tmp_path / "absent")


@given(st.text(st.sampled_from("ab./\\ \n\x00\u00e9~"), max_size=12))
def test_no_accepted_name_leads_out_of_its_folder(name: str) -> None:
    try:
        checked_name(name)
    except ValueError:
        return
    folder = Path("/folder")
    assert Path(os.path.normpath(folder / name)).is_relative_to(folder)
    assert os.path.normpath(folder / name) == str(folder / name) != str(folder)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(content)
    try:
        assert read_list(path)
    except DataError:
        return


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after(None) is None
    assert retry_after("soon") is None
    assert retry_after(" 7 ") == 7
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after("Wed, 21 Oct 2099 07:28:00 GMT") or 0) > 0
