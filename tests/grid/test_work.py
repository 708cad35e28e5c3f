"""The worker loop: batches of one stream, a fair share, a broken batch taken apart, halves where memory is short,
only the kinds of work it was lent, failures written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Event

import pytest
from grid.worlds import result, small_spec

from lth.errors import DataError, TrainingError
from lth.grid.next import ready, wanted
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.grid.work import Do, DoesNotFit, Outcome, claim_batch, loop, out_of_memory
from lth.runs.claim import Owner
from lth.runs.run import Run, start_run


def a_run(path: Path, **changes) -> Run:
    return start_run(path / "run", small_spec(**changes))


def doers(run: Run, batches: list[list[str]], breaks: Sequence[str] = ()) -> Do:
    """Returns a `do` that makes results up, and breaks as a whole on some units."""

    def train(units: Sequence[Dense | Cell]) -> Iterator[Outcome]:
        batches.append([unit.id for unit in units])
        if any(unit.id in breaks for unit in units):
            raise RuntimeError("a bug")
        for unit in units:
            yield unit, result(run.spec, unit)

    def close(units: Sequence[Finish]) -> Iterator[Outcome]:
        for unit in units:
            yield unit, {"verdict": "none"}

    return {Dense: train, Cell: train, Checkpoint: close, Finish: close}


def test_the_loop_does_everything_once_in_batches_of_one_seed(tmp_path: Path) -> None:
    run, batches = a_run(tmp_path, execute={"tickets_per_worker": 4}), []
    loop(run, doers(run, batches), Event())
    done = [name for batch in batches for name in batch]
    assert len(done) == len(set(done)) == sum(not isinstance(unit, Finish) for unit in wanted(run.spec, run.results()))
    assert max(map(len, batches)) == 4
    assert all(len({name.split("seed")[1][0] for name in batch}) == 1 for batch in batches)
    assert ready(run.spec, run.results()) == []


def test_a_batch_that_breaks_is_done_again_one_by_one_and_only_the_culprit_fails(tmp_path: Path) -> None:
    run, batches, culprit = a_run(tmp_path), [], "s0.8-r0-seed0"
    loop(run, doers(run, batches, breaks=[culprit]), Event())
    results = run.results()
    assert set(results.failed) == {culprit}
    assert results.failed[culprit].message == "a bug"
    assert len(list((run.path / "cells" / culprit).glob("failed-*.json"))) == run.spec.execute.attempts
    assert {"s0.5-r0-seed0", "s0.9-r0-seed0"} <= results.done.keys()


def test_a_share_leaves_work_for_the_other_workers(tmp_path: Path) -> None:
    run = a_run(tmp_path, execute={"launcher": "processes", "workers": 3, "tickets_per_worker": 16})
    batches: list[list[str]] = []
    with run.claims() as first, run.claims() as second:
        do = doers(run, [])
        one, two = claim_batch(run, first, do, 16), claim_batch(run, second, do, 16)
        assert [unit.id for unit in (*one, *two)] == ["dense-seed0", "dense-seed1"]
    loop(run, doers(run, batches), Event())
    assert max(map(len, batches)) == 4, "12 cells are ready for 3 workers"


def test_free_units_come_before_those_whose_holder_died_and_living_holders_keep_theirs(tmp_path: Path) -> None:
    run = a_run(tmp_path, seeds=[0, 1, 2])
    gone = {**asdict(Owner.here()), "started": "before this process"}
    do = doers(run, [])
    with run.claims() as living, run.claims() as mine:
        assert living.take("dense-seed1")
        (run.layout.claims / "dense-seed0").write_text(json.dumps(gone))
        batches = [claim_batch(run, mine, do, 16) for _ in range(3)]
        assert [[unit.id for unit in batch] for batch in batches] == [["dense-seed2"], ["dense-seed0"], []]


def test_a_diverging_unit_is_not_tried_again_and_its_step_is_on_record(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    base = doers(run, [])

    def diverge(units: Sequence[Dense]) -> Iterator[Outcome]:
        for unit in units:
            yield unit, TrainingError("the loss is not a finite number", at=f"{unit.id}, step 17")

    loop(run, {**base, Dense: diverge}, Event())
    failed = run.results().failed
    assert {name: failure.step for name, failure in failed.items()} == {"dense-seed0": 17, "dense-seed1": 17}
    assert len(list(run.path.glob("dense/*/failed-*.json"))) == 2


def test_a_problem_of_the_setup_stops_the_worker_and_marks_nothing(tmp_path: Path) -> None:
    run = a_run(tmp_path)

    def no_data(units: Sequence[Dense]) -> Iterator[Outcome]:
        raise DataError("the file is missing", at="x")
        yield

    with pytest.raises(DataError):
        loop(run, {**doers(run, []), Dense: no_data}, Event())
    assert run.results().failed == {}
    assert list(run.layout.claims.iterdir()) == []


def test_a_stopped_worker_leaves_its_units_for_others(tmp_path: Path) -> None:
    run, stop, batches = a_run(tmp_path), Event(), []
    base = doers(run, batches)

    def stopped(units: Sequence[Dense]) -> Iterator[Outcome]:
        stop.set()
        return iter(())

    loop(run, {**base, Dense: stopped}, stop)
    assert list(run.layout.claims.iterdir()) == []
    loop(run, base, Event())
    assert ready(run.spec, run.results()) == []


NO_MEMORY = [
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


def with_room_for(run: Run, batches: list[list[str]], most: int, problem: Exception) -> Do:
    """Returns a `do` in whose memory at most so many cells fit."""
    base = doers(run, batches)

    def train(units: Sequence[Cell]) -> Iterator[Outcome]:
        if len(units) > most:
            batches.append([unit.id for unit in units])
            raise problem
        yield from base[Cell](units)

    return {**base, Cell: train}


@pytest.mark.parametrize("problem", NO_MEMORY, ids=range(4))
def test_a_batch_too_large_for_memory_is_halved_until_it_fits_and_stays_so(
    tmp_path: Path, problem: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    run, batches = a_run(tmp_path), []
    loop(run, with_room_for(run, batches, 2, problem), Event())
    cells = [len(batch) for batch in batches if not batch[0].startswith("dense")]
    assert cells[:3] == [6, 3, 1], "six tickets of the first seed were ready"
    assert set(cells[3:]) == {1}
    assert run.results().failed == {}
    assert ready(run.spec, run.results()) == []
    assert "6 tickets do not fit in memory; going on with 3" in caplog.text
    assert "3 tickets do not fit in memory; going on with 1" in caplog.text
    assert list(run.layout.claims.iterdir()) == []


def test_a_doer_that_knows_how_many_fit_is_asked_for_no_more(tmp_path: Path) -> None:
    run, batches = a_run(tmp_path), []
    loop(run, with_room_for(run, batches, 4, DoesNotFit(6, 4, "1 MiB a ticket")), Event())
    cells = [len(batch) for batch in batches if not batch[0].startswith("dense")]
    assert cells[:3] == [6, 4, 2]
    assert max(cells[1:]) == 4
    assert run.results().failed == {}


def test_one_unit_that_does_not_fit_fails_with_the_cure(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    loop(run, with_room_for(run, [], 0, RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore")), Event())
    failed = run.results().failed
    assert set(failed) == {unit.id for unit in wanted(run.spec, run.results()) if isinstance(unit, Cell)}
    said = {failure.message for failure in failed.values()}
    assert said == {
        "does not fit in memory: RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB.. "
        "Take a smaller data.batch_size, a train.micro_batch, or another execute.device."
    }


def test_what_a_broken_batch_held_is_let_go_of_before_its_half_begins(tmp_path: Path) -> None:
    class Network:
        """It refers to itself, as networks do."""

        def __init__(self) -> None:
            self.itself = self

    run, held, at_start = a_run(tmp_path), weakref.WeakSet[Network](), []
    base = doers(run, [])

    def train(units: Sequence[Cell]) -> Iterator[Outcome]:
        at_start.append((len(units), len(held)))
        networks = [Network() for _ in units]
        held.update(networks)
        if len(units) > 2:
            raise MemoryError
        yield from base[Cell](units)

    loop(run, {**base, Cell: train}, Event())
    assert at_start[:3] == [(6, 0), (3, 0), (1, 0)]


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    assert not any(map(out_of_memory, [RuntimeError("size mismatch"), KeyError("memory"), TrainingError("nan")]))


@pytest.mark.parametrize("wait", [False, True])
def test_a_worker_lent_one_kind_of_work_does_only_that_and_ends(tmp_path: Path, wait: bool) -> None:
    run, batches = a_run(tmp_path), []
    full = doers(run, batches)
    loop(run, {Dense: full[Dense]}, Event(), wait=wait)
    assert run.results().done.keys() == {"dense-seed0", "dense-seed1"}
    loop(run, {Cell: full[Cell]}, Event(), wait=wait)
    assert {type(unit) for unit in ready(run.spec, run.results())} == {Dense}, "the seeds that confirm"
    assert {name.split("-")[0] for batch in batches[2:] for name in batch} == {"s0.5", "s0.8", "s0.9"}
    loop(run, full, Event(), wait=wait)
    assert ready(run.spec, run.results()) == []


KILLER = """
import os, sys
from pathlib import Path
from threading import Event
from grid.test_work import doers
from lth.grid.unit import Cell
from lth.grid.work import loop
from lth.runs.run import open_run

run = open_run(sys.argv[1])
base = doers(run, [])

def train(units):
    for unit in units:
        folder = run.layout.unit(unit.folder)
        folder.mkdir(parents=True, exist_ok=True)
        with open(Path(sys.argv[1]).parent / "begun", "a") as file:
            file.write(f"{len(units)} {unit.id}\\n")
    if any(unit.id == sys.argv[2] for unit in units):
        if sys.argv[3] == "saves":
            with open(folder / "resume", "a") as file:
                file.write("x")
        os.kill(os.getpid(), 9)
    yield from base[Cell](units)

loop(run, {**base, Cell: train}, Event())
"""
CULPRIT = "s0.8-r0-seed0"


def work_in_a_process(run: Run, how: str) -> int:
    """Returns how a worker ended that is killed, by SIGKILL, whenever it takes up the culprit."""
    tests = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", KILLER, str(run.path), CULPRIT, how]
    return subprocess.run(command, env=environment, timeout=60).returncode


def test_a_unit_that_kills_its_worker_twice_is_given_up_and_those_beside_it_are_done(tmp_path: Path) -> None:
    run = a_run(tmp_path, execute={"tickets_per_worker": 16})
    assert [work_in_a_process(run, "saves nothing") for _ in range(3)] == [-9, -9, 0]
    results = run.results()
    assert set(results.failed) == {CULPRIT}
    assert results.failed[CULPRIT].final
    assert "killed twice, with nothing saved in between" in results.failed[CULPRIT].message
    assert f"delete {run.path / 'cells' / CULPRIT}" in results.failed[CULPRIT].message
    begun = [line.split() for line in (tmp_path / "begun").read_text().splitlines()]
    assert [int(together) > 1 for together, name in begun if name == CULPRIT] == [True, False]
    assert ready(run.spec, results) == []
    assert list(run.layout.claims.iterdir()) == []


def test_a_unit_that_was_saved_between_its_deaths_is_never_given_up(tmp_path: Path) -> None:
    run = a_run(tmp_path, execute={"tickets_per_worker": 16})
    assert [work_in_a_process(run, "saves") for _ in range(5)] == [-9] * 5
    assert run.results().failed == {}
    assert len(list((run.path / "cells" / CULPRIT).glob("died-*.json"))) == 4
    loop(run, doers(run, []), Event())
    assert ready(run.spec, run.results()) == []
    assert CULPRIT in run.results().done
