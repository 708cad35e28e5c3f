"""The worker loop: batches of one stream, a fair share, a broken batch taken apart, failures written down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

import pytest
from grid.worlds import result, small_spec

from lth.errors import DataError, TrainingError
from lth.grid.next import ready, wanted
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.grid.work import Do, Outcome, claim_batch, loop
from lth.runs.run import Run, start_run


def a_run(path: Path, **changes) -> Run:
    return start_run(path / "run", small_spec(**changes))


def doers(run: Run, batches: list[list[str]], breaks: Sequence[str] = ()) -> Do:
    """Returns a `do` that makes results up, and breaks as a whole on some units."""

    def train(units: Sequence[Dense | Cell]) -> Iterator[Outcome]:
        batches.append([unit.id for unit in units])
        if any(unit.id in breaks for unit in units):
            raise RuntimeError("out of memory")
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
    assert results.failed[culprit].message == "out of memory"
    assert len(list((run.path / "cells" / culprit).glob("failed-*.json"))) == run.spec.execute.attempts
    assert {"s0.5-r0-seed0", "s0.9-r0-seed0"} <= results.done.keys()


def test_a_share_leaves_work_for_the_other_workers(tmp_path: Path) -> None:
    run = a_run(tmp_path, execute={"launcher": "processes", "workers": 3, "tickets_per_worker": 16})
    batches: list[list[str]] = []
    with run.claims() as first, run.claims() as second:
        one, two = claim_batch(run, first), claim_batch(run, second)
        assert [unit.id for unit in (*one, *two)] == ["dense-seed0", "dense-seed1"]
    loop(run, doers(run, batches), Event())
    assert max(map(len, batches)) == 4, "12 cells are ready for 3 workers"


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
