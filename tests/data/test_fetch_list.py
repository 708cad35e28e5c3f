"""Lists of files from a web server on the loopback interface that misbehaves in every way that was thought of."""

from __future__ import annotations

import os
import pickle  # noqa: TID251  # as Spark sends things
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from data.web import Web, serving, sha256
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.data.download import Patience, retry_after
from lth.data.fetch_list import FetchReport, Item, fetch_all, fetch_item
from lth.data.opener import _trust

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


LIMITED = """
import resource, sys
from pathlib import Path
from lth.data.fetch_list import Item, fetch_item
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
print(fetch_item(Item(*sys.argv[2:]), Path(sys.argv[1])).reason)
"""


def test_a_disk_that_takes_no_more_is_told_at_once_and_what_came_is_kept(web: Web, tmp_path: Path) -> None:
    wanted = item(web)
    command = [sys.executable, "-c", LIMITED, str(tmp_path), wanted.url, wanted.sha256, wanted.name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"{tmp_path / 'a.part'}: cannot be written: File too large\n"
    assert (tmp_path / "a.part").read_bytes() == CONTENT[:20_000]
    good(fetch_item(wanted, tmp_path, QUICK), tmp_path)
    assert web.ranges("/a") == [None, "bytes=20000-"]


STATUS = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.0 206 Partial", b"HTTP/1.1 416 No", b"HTTP/1.1 302 Found", b"ICY"]
)
NAMES = [b"Content-Length", b"Content-Range", b"Transfer-Encoding", b"Location", b"Retry-After", b"X"]
VALUES = [
    b"5",
    b"-1",
    5000 * b"9",
    b"bytes 3-4/5",
    b"bytes 0-99/9",
    b"bytes */3",
    b"chunked",
    b"http://[",
    b"\xff",
    b"",
]
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=4)


@settings(max_examples=80)
@given(
    STATUS,
    HEADERS,
    st.one_of(st.binary(max_size=40), st.sampled_from([b"3\r\nabc\r\n0\r\n\r\n", b"-5\r\n", b"fffffffff\r\n"])),
)
def test_any_answer_is_a_reason(
    tmp_path_factory: pytest.TempPathFactory, status: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "x.part").write_bytes(b"abc")
    with serving() as web:
        head = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        web.files["/x"] = status + b"\r\n" + head + b"\r\n" + body
        web.faults["/x"] = ["raw always"]
        patience = Patience(tries=2, timeout=5.0, first_wait=0.0, longest_wait=0.0)
        report = fetch_item(Item(web.url("/x"), 64 * "0", "x"), folder, patience)
    assert report.state == "failed"
    assert report.reason
    assert not (folder / "x").exists()


def test_https_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("NO OPENSSL to make a certificate with")
    made = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert"), "-subj", "/CN=127.0.0.1"]
    more = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(["openssl", "req", "-x509", *more, *made], check=True, capture_output=True)
    both = tmp_path / "both"
    both.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "cert").read_bytes())
    with serving(both) as web:
        web.files["/a"] = CONTENT
        _trust.cache_clear()
        report = fetch_item(item(web), tmp_path, QUICK)
        assert "cannot prove who it is: self-signed certificate" in str(report.reason)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        _trust.cache_clear()
        good(fetch_item(item(web), tmp_path, QUICK), tmp_path)
    _trust.cache_clear()


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


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after(None) is None
    assert retry_after("soon") is None
    assert retry_after(" 7 ") == 7
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after("Wed, 21 Oct 2099 07:28:00 GMT") or 0) > 0
