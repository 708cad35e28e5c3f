"""Attempts: their names, and which of them a publisher clears away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from lth.runs.attempt import new_attempt, tidy
from lth.runs.names import SIGNED


def test_a_name_tells_host_and_process() -> None:
    found = SIGNED.fullmatch(f"attempt-{new_attempt()}")
    assert found
    assert int(found["pid"]) == os.getpid()
    assert new_attempt() != new_attempt()


def test_the_saved_state_and_what_ended_on_this_host_are_cleared(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = "".join(letter if letter.isalnum() else "-" for letter in socket.gethostname())[:24]
    mine = new_attempt()
    gone = f"attempt-{host}-{ended.pid}-00000001"
    alive, elsewhere = f"attempt-{host}-{os.getppid()}-00000002", f"attempt-elsewhere-{ended.pid}-00000003"
    kept = [f"attempt-{mine}", alive, elsewhere, "metrics"]
    for name in ("resume", "resume-previous"):
        (tmp_path / name).touch()
    for name in [gone, "entry", *kept]:
        (tmp_path / name / "inside").mkdir(parents=True)
    tidy(tmp_path, mine)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)
