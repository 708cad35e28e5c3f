"""The worker loop of a group: the first process decides, claims and publishes, all of them train."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from threading import Event
from typing import Any

from lth.grid.next import ready
from lth.grid.unit import Checkpoint, Dense, Unit
from lth.grid.work import LOOK_AGAIN_SECONDS, SETUP, Do, Outcome, loop
from lth.runs.run import Run
from lth.spec.step import Step
from lth.training.distributed import Group, GroupError

END, LOOK = "end", "look"


def work_together(run: Run, do: Do, stop: Event, group: Group, *, wait: bool = False) -> None:
    """Returns, in every process of the group, when the worker loop does in the first, with the same `stop`.

    Raises what the loop raises, and GroupError where a process has ended or a training broke: its failure is
    written down then, but the processes no longer stand at the same place.
    """
    if group.first:
        _lead(run, do, stop, group, wait)
    else:
        _follow(do, stop, group)


def _lead(run: Run, do: Do, stop: Event, group: Group, wait: bool) -> None:
    broken: list[str] = []
    shared = {kind: partial(_announced, function, group, stop, broken) for kind, function in do.items()}
    while True:
        loop(run, shared, stop)
        if broken:
            raise GroupError(f"training broke in a group of processes: {broken[0]}", at=run.path)
        more = wait and not stop.is_set() and _somebody_works(run, do)
        group.words(LOOK if more else END)
        _agree(stop, group)
        if not more:
            return
        stop.wait(LOOK_AGAIN_SECONDS)


def _follow(do: Do, stop: Event, group: Group) -> None:
    while True:
        message = group.words()
        if message in (LOOK, END):
            _agree(stop, group)
            if message == END:
                return
        else:
            units = [_unit(**unit) for unit in json.loads(message)]
            for _ in do[type(units[0])](units):
                pass  # the first process publishes the outcome


def _announced(
    function: Callable[[Sequence[Any]], Iterator[Outcome]], group: Group, stop: Event, broken: list[str],
    units: Sequence[Unit],
) -> Iterator[Outcome]:  # fmt: skip
    """What the first process does with units: it tells the others which, then takes part."""
    group.words(json.dumps([unit.coordinates for unit in units]))
    try:
        yield from function(units)
    except SETUP:
        raise
    except Exception as problem:
        broken.append(f"{type(problem).__name__}: {problem}".partition("\n")[0])
        stop.set()
        raise


def _agree(stop: Event, group: Group) -> None:
    """Sets `stop` in every process where it is set in one."""
    (stopped,) = group.largest(stop.is_set())
    if stopped:
        stop.set()


def _somebody_works(run: Run, do: Do) -> bool:
    return run.claims().anyone() or any(type(unit) in do for unit in ready(run.spec, run.results()))


def _unit(kind: str, seed: int, step: str = "", fresh: bool = False) -> Dense | Checkpoint:
    return Checkpoint(seed, Step.parse(step), fresh) if kind == "checkpoint" else Dense(seed)
