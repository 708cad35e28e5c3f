"""Claims: one holder at a time, dead holders replaced at once here, silent ones elsewhere after two minutes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from lth.runs import claim
from lth.runs.claim import Claims


def _dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _write(path: Path, **changes: object) -> None:
    owner = {"host": "elsewhere", "boot": "b", "pid": 1, "started": "1", **changes}
    path.write_text(json.dumps(owner))


def test_one_holder_at_a_time_and_free_again_after_release(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine, Claims(tmp_path) as yours:
        assert mine.take("a")
        assert not yours.take("a")
        assert mine.running() == ["a"]
        mine.release("a")
        assert yours.take("a")
    assert os.listdir(tmp_path) == []


def test_the_claim_of_a_dead_process_of_this_host_is_taken_at_once(tmp_path: Path) -> None:
    here = claim.Owner.here()
    with Claims(tmp_path) as mine:
        _write(tmp_path / "a", host=here.host, boot=here.boot, pid=_dead_pid(), started="1")
        assert mine.running() == []
        assert mine.take("a")


def test_the_claim_of_a_recycled_process_id_or_an_earlier_boot_is_taken(tmp_path: Path) -> None:
    here = claim.Owner.here()
    with Claims(tmp_path) as mine:
        _write(tmp_path / "a", host=here.host, boot=here.boot, pid=os.getpid(), started="not this one")
        _write(tmp_path / "b", host=here.host, boot="earlier", pid=os.getpid(), started=here.started)
        assert mine.take("a")
        assert mine.take("b")


def test_another_hosts_claim_stands_until_two_minutes_of_silence(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine:
        _write(tmp_path / "a")
        assert not mine.take("a")
        assert mine.running() == ["a"]
        old = time.time() - claim.SILENCE_SECONDS - 5
        os.utime(tmp_path / "a", (old, old))
        assert mine.running() == []
        assert mine.take("a")


def test_a_claim_that_was_never_written_in_full_falls_silent_too(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine:
        (tmp_path / "a").write_text("")
        assert not mine.take("a")
        old = time.time() - claim.SILENCE_SECONDS - 5
        os.utime(tmp_path / "a", (old, old))
        assert mine.take("a")


def test_a_renewed_claim_is_put_back(tmp_path: Path) -> None:
    """Between the look and the theft, the holder may have come back: the claim must survive."""
    with Claims(tmp_path) as mine:
        _write(tmp_path / "a")
        assert not mine._clear(tmp_path / "a")
        assert (tmp_path / "a").exists()


def test_the_heartbeat_renews_every_claim(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(claim, "HEARTBEAT_SECONDS", 0.01)
    with Claims(tmp_path) as mine:
        mine.take("a")
        os.utime(tmp_path / "a", (1, 1))
        limit = time.monotonic() + 10
        while (tmp_path / "a").stat().st_mtime < 10 and time.monotonic() < limit:
            time.sleep(0.005)
        assert (tmp_path / "a").stat().st_mtime > 10
