"""Processes that train each dense network together, where `execute.data_parallel` asks for several.

They find each other by a file, and speak over the loopback interface only: nothing listens to the outside.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

from lth.endings import ENDED, USAGE
from lth.errors import RunError
from lth.grid.launchers.worker import LOOK_SECONDS, Deaths, Worker, end, settled, start
from lth.grid.next import ready
from lth.grid.unit import Checkpoint, Dense
from lth.grid.work import Do
from lth.runs.run import Run

GRACE_SECONDS = 30.0  # for processes that have lost another one, and may wait for it in vain


def launch(
    run: Run, doers: Callable[[], Do], stop: Event, others: Callable[[Run, Callable[[], Do], Event], None],
    together: Callable[[Run, Event], None],
) -> None:  # fmt: skip
    """Returns when the work is done or `stop` is set; `together` does the dense networks, `others` the rest.

    They take turns, since they share the same cores or GPUs. Raises RunError where the group cannot
    start, or keeps dying without getting anything done.
    """
    while not stop.is_set():
        units, before = ready(run.spec, run.results()), settled(run)
        dense = [unit for unit in units if isinstance(unit, Dense | Checkpoint)]
        elsewhere = run.claims().running()
        if any(unit.id not in elsewhere for unit in dense):
            together(run, stop)
        elif len(units) > len(dense):
            others(run, doers, stop)
        elif dense:
            stop.wait(LOOK_SECONDS)
            continue
        if settled(run) == before:  # all done, or told to end
            return


def train(run: Run, stop: Event) -> None:
    """Returns when a group of processes here has trained what is ready; it starts anew where one of them dies."""
    deaths = Deaths(run)
    while not stop.is_set():
        with tempfile.TemporaryDirectory(prefix="lth-") as folder:
            workers = _start(run, Path(folder))
            culprit = _wait(workers, stop)
        if culprit is None:
            return
        if culprit.process.returncode == USAGE:
            raise RunError(culprit.last_words())
        if deaths.too_many():
            what = f"processes that train together keep dying: {culprit.last_words()}"
            raise RunError(what, at=culprit.log, value=f"exit code {culprit.process.returncode}")


def _start(run: Run, folder: Path) -> list[Worker]:
    world = str(run.spec.execute.data_parallel)
    loopback = next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), "lo")
    common = {
        "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "LTH_RENDEZVOUS": str(folder / "rendezvous"),
        "GLOO_SOCKET_IFNAME": loopback, "NCCL_SOCKET_IFNAME": loopback,
    }  # fmt: skip
    places = [{**common, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(int(world))]
    return [start(run, f"group-{place['RANK']}", environment=place) for place in places]


def _wait(workers: Sequence[Worker], stop: Event) -> Worker | None:
    """Returns when all have ended: the one that ended badly first, if any; the others are ended then too."""
    culprit = None
    try:
        while culprit is None and not stop.wait(LOOK_SECONDS) and not stop.is_set():
            codes = [worker.process.poll() for worker in workers]
            bad = [rank for rank, code in enumerate(codes) if code not in (None, *ENDED)]
            if bad:  # the others of these may have ended because of it, with 1
                culprit = workers[max(bad, key=lambda rank: codes[rank] != 1)]
            elif None not in codes:
                return None
    finally:
        end(workers, GRACE_SECONDS if culprit else None)
    return culprit
