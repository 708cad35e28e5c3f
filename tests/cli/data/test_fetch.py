"""`lth data fetch`, with a server on the loopback interface."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from data.web import Web, serving, sha256
from typer.testing import CliRunner, Result

from lth.cli.data import app
from lth.data.fetch import SETS, Published
from lth.errors import DataError, LthError


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Web]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with serving() as web:
        web.files = {"/one.gz": b"one", "/two.gz": b"two" * 1000, "/bad": b"bad\x1b[31m"}
        files = {name: sha256(web.files[f"/{name}"]) for name in ("one.gz", "two.gz")}
        monkeypatch.setitem(SETS, "mnist", Published("mnist", files, ("http://mirror.invalid",)))
        yield web


def fetch(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["fetch", *arguments])


def test_a_named_set_ends_with_the_line_for_the_spec(web: Web) -> None:
    done = fetch("mnist", "--mirror", web.url("/"))
    assert done.exit_code == 0, done.output
    assert done.stdout == 'source = "mnist:data/mnist"\n'
    assert "3.0 kB fetched" in done.stderr
    assert Path("data/mnist/two.gz").read_bytes() == web.files["/two.gz"]
    again = fetch("mnist", "data/mnist", "--mirror", web.url("/"), "--json")
    assert json.loads(again.stdout) == {"source": "mnist:data/mnist", "bytes_fetched": 0}
    assert len(web.asked) == 2


def test_a_list_is_summed_up_and_repeated(web: Web) -> None:
    Path("urls.txt").write_text(
        f"# two and a half files\n{web.url('/one.gz')} {sha256(b'one')}\n"
        f"{web.url('/two.gz')} {sha256(web.files['/two.gz'])} in/two\n{web.url('/bad')} {sha256(b'good')} good\n"
    )
    done = fetch("--from", "urls.txt", "--into", "here", "--jobs", "2")
    assert done.exit_code == 1
    assert done.stdout.startswith("here: 2 of 3 files fetched, 0 were there, 1 failed; 3.0 kB in ")
    assert "failed: good: " in done.stderr
    assert "checksum" in done.stderr
    web.files["/bad"] = b"good"
    again = fetch("--from", "urls.txt", "--into", "here", "--json")
    assert again.exit_code == 0
    told = json.loads(again.stdout)
    assert (told["fetched"], told["there"], told["failed"], told["failures"]) == (1, 2, 0, [])
    assert Path("here/in/two").read_bytes() == web.files["/two.gz"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["mnist", "--from", "urls.txt"],
        ["mnist", "--into", "x"],
        ["mnist", "--engine", "spark"],
        ["--from", "urls.txt", "--mirror", "http://h"],
        ["--from", "urls.txt", "--master", "local[2]"],
    ],
)
def test_options_that_would_be_ignored_are_refused(web: Web, arguments: list[str]) -> None:
    done = fetch(*arguments)
    assert done.exit_code != 0
    assert isinstance(done.exception, LthError | SystemExit)


def test_errors_are_those_of_the_user(web: Web) -> None:
    assert isinstance(fetch("imagenet").exception, DataError)
    assert isinstance(fetch("--from", "absent.txt").exception, DataError)


def test_ctrl_c_keeps_what_came(web: Web) -> None:
    web.files["/slow"] = bytes(range(256)) * 1000
    web.faults["/slow"] = ["drip always"]
    Path("urls.txt").write_text(f"{web.url('/slow')} {sha256(web.files['/slow'])}\n")
    command = [sys.executable, "-m", "lth", "data", "fetch", "--from", "urls.txt"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not web.asked:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        told = process.communicate()[1]
    assert process.returncode == 3, told
    assert "the same command goes on from here" in told
    del web.faults["/slow"]
    assert fetch("--from", "urls.txt").exit_code == 0
    assert Path("data/slow").read_bytes() == web.files["/slow"]
