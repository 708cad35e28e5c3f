"""A watched process: how it ended is told, and nothing it started is left behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from lth.training import child
from lth.training.child import last_lines, run_child

CHILD = """
import os, signal, subprocess, sys, time
how, place = sys.argv[1:3]
def wait():
    open(place, "w").write(str(os.getpid()))
    time.sleep(600)
if how == "exit":
    print("last words"); print("bar 1%\\rbar 100%", file=sys.stderr); os._exit(3)
if how == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if how == "leave":
    subprocess.Popen([sys.executable, __file__, "sleep", place])
    while not os.path.exists(place): time.sleep(0.01)
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN); wait()
if how == "sleep":
    wait()
"""


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the module `entry_child` writes its process id once it sleeps."""
    (tmp_path / "entry_child.py").write_text(CHILD)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "pid"


def gone(sleeper: Path) -> bool:
    """Returns whether the process that sleeps has ended, within ten seconds."""
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        try:
            state = Path(f"/proc/{sleeper.read_text()}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":  # killed; nobody waits for an orphan here
            return True
        time.sleep(0.01)
    return False


def start(how: str, sleeper: Path, seconds: float = 60, stop: threading.Event | None = None) -> child.Ending:
    log = sleeper.with_name("log")
    return run_child("entry_child", [how, str(sleeper)], log, seconds, stop or threading.Event())


def test_a_process_that_exits_says_how_and_its_log_its_last_words(sleeper: Path) -> None:
    assert start("exit", sleeper).words == "ended its process with exit code 3"
    assert last_lines(sleeper.with_name("log")) == ["last words", "bar 100%"]
    assert start("crash", sleeper).words == "was killed by SIGSEGV"


def test_what_a_process_leaves_behind_ends_with_it(sleeper: Path) -> None:
    assert start("leave", sleeper).how == "itself"
    assert gone(sleeper)


def test_a_process_that_takes_too_long_is_ended(sleeper: Path) -> None:
    began = time.monotonic()
    ending = start("sleep", sleeper, seconds=0.5)
    assert (ending.how, ending.words) == ("late", "was killed by SIGTERM")
    assert time.monotonic() - began < child.GRACE_SECONDS


def test_one_that_does_not_listen_is_killed(sleeper: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "GRACE_SECONDS", 0.1)
    stop = threading.Event()

    def stop_when_it_sleeps() -> None:
        while not (sleeper.exists() and sleeper.read_text()):
            time.sleep(0.01)
        stop.set()

    threading.Thread(target=stop_when_it_sleeps).start()
    ending = start("stubborn", sleeper, stop=stop)
    assert (ending.how, ending.words) == ("stopped", "was killed by SIGKILL")
    assert gone(sleeper)
