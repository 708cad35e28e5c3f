"""Claims: one holder at a time, dead holders replaced at once here, silent ones elsewhere after two minutes."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lth.errors import RunError
from lth.runs import claim
from lth.runs.claim import Claims
from lth.runs.files import sha256_of


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


def test_a_claim_that_was_renewed_or_replaced_between_the_look_and_the_theft_stands(tmp_path: Path) -> None:
    here = claim.Owner.here()
    with Claims(tmp_path) as mine:
        _write(tmp_path / "a")
        looked = (tmp_path / "a").read_bytes()
        assert not mine._steal(tmp_path / "a", looked, "ours"), "it is not silent any more"
        _write(tmp_path / "a", host=here.host, boot=here.boot, pid=_dead_pid(), started="1")
        assert not mine._steal(tmp_path / "a", looked, "ours"), "another holds it"
        assert os.listdir(tmp_path) == ["a"]


def test_a_thief_that_died_in_the_act_stops_nobody_for_longer_than_the_silence(tmp_path: Path) -> None:
    here = claim.Owner.here()
    with Claims(tmp_path) as mine:
        _write(tmp_path / "a", host=here.host, boot=here.boot, pid=_dead_pid(), started="1")
        mark = tmp_path / f".steal-a-{sha256_of((tmp_path / 'a').read_bytes())[:12]}"
        mark.write_text("")
        assert not mine.take("a")
        assert mark.exists()
        old = time.time() - claim.SILENCE_SECONDS - 5
        os.utime(mark, (old, old))
        assert not mine.take("a"), "this look takes the mark away"
        assert mine.take("a")
        assert os.listdir(tmp_path) == ["a"]


def test_the_heartbeat_renews_every_claim(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(claim, "HEARTBEAT_SECONDS", 0.01)
    with Claims(tmp_path) as mine:
        mine.take("a")
        os.utime(tmp_path / "a", (1, 1))
        limit = time.monotonic() + 10
        while (tmp_path / "a").stat().st_mtime < 10 and time.monotonic() < limit:
            time.sleep(0.005)
        assert (tmp_path / "a").stat().st_mtime > 10


@pytest.mark.parametrize("hours", [-1, 1])
def test_an_owner_whose_clock_is_an_hour_off_keeps_its_claim_for_the_servers_clock_counts(
    tmp_path: Path, hours: int
) -> None:
    """Its process believes another time than ours: neither does its fresh claim fall, nor does ours to it."""
    program = (
        "import sys, time; from pathlib import Path; from lth.runs.claim import Claims\n"
        f"real = time.time; time.time = lambda: real() + {3600 * hours}\n"
        "with Claims(Path(sys.argv[1])) as claims:\n"
        "    assert not claims.take('ours'), 'a living claim was stolen'\n"
        "    assert claims.take('stale'), 'a silent claim was left'\n"
        "    assert claims.take('theirs')\n"
        "    print('taken', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with Claims(tmp_path) as mine:
        _write(tmp_path / "ours")  # of a third host, just renewed
        _write(tmp_path / "stale")
        old = time.time() - claim.SILENCE_SECONDS - 5
        os.utime(tmp_path / "stale", (old, old))
        command = [sys.executable, "-c", program, str(tmp_path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"taken\n"
            owner = json.loads((tmp_path / "theirs").read_text())
            (tmp_path / "theirs").write_text(json.dumps({**owner, "host": "elsewhere"}))
            assert not mine.take("theirs")
            assert mine.running() == ["ours", "stale", "theirs"]
            other.communicate(timeout=30)
        assert other.returncode == 0
        assert mine.running() == ["ours"]


def test_of_many_that_want_a_dead_processs_claim_at_once_one_gets_it(tmp_path: Path) -> None:
    here = claim.Owner.here()
    rounds, together = 20, 8
    with contextlib.ExitStack() as stack:
        rivals = [stack.enter_context(Claims(tmp_path)) for _ in range(together)]
        for number in range(rounds):
            _write(tmp_path / f"unit{number}", host=here.host, boot=here.boot, pid=_dead_pid(), started="1")
            with ThreadPoolExecutor(together) as pool:
                took = list(pool.map(lambda rival, name=f"unit{number}": rival.take(name), rivals))
            assert sum(took) == 1, number
            assert sum(len(rival.dead) for rival in rivals) == number + 1, "each death is known to one"
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_said_when_a_claim_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "half").write_text("{")
    monkeypatch.setattr(Path, "touch", full)
    with pytest.raises(RunError, match="Free some space"):
        Claims(tmp_path).running()
