"""A ring of buffers that threads fill ahead of whoever takes them, in the order of steps."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Buffer = TypeVar("Buffer")


@dataclass
class _Slot(Generic[Buffer]):
    """A buffer on its way to a step: how many pieces of it are still to be begun or under way."""

    step: int
    buffer: Buffer
    left: int
    running: int = 0
    dropped: bool = False
    problem: BaseException | None = None


@dataclass
class _State(Generic[Buffer]):
    """What the threads share with the ring; they know nothing of the ring itself, so that it can be forgotten."""

    fill: Callable[[int, int, Buffer], None]
    pieces: int
    free: list[Buffer]
    changed: threading.Condition = field(default_factory=threading.Condition)
    work: deque[tuple[_Slot[Buffer], int]] = field(default_factory=deque)
    slots: dict[int, _Slot[Buffer]] = field(default_factory=dict)
    closed: bool = False


class Ring(Generic[Buffer]):
    """Steps in buffers, filled by `fill(step, piece, buffer)` for every piece of a step, by `threads` threads.

    While a step is in use the next ones are filled, as many as there are `buffers` beside its own, up to the step
    before `end`. A step may be taken twice, or out of turn: what was filled ahead for nothing is then dropped. What
    `fill` raises is raised where its step is taken. The threads end with `close`, or when the ring is forgotten;
    then `ended` is called.
    """

    def __init__(
        self, fill: Callable[[int, int, Buffer], None], buffers: Sequence[Buffer], threads: int = 1,
        *, pieces: int = 1, end: int | None = None, ended: Callable[[], object] = bool,
    ):  # fmt: skip
        self._state, self._end, self._ahead = _State(fill, pieces, list(buffers)), end, len(buffers) - 1
        self._taken: _Slot[Buffer] | None = None
        workers = [
            threading.Thread(target=_work, args=(self._state,), name=f"lth-ring-{number}", daemon=True)
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        self.close = weakref.finalize(self, _close, self._state, workers, ended)

    def take(self, step: int) -> Buffer:
        """Returns the buffer of a step once it is full; it is left alone until the next is taken."""
        state = self._state
        with state.changed:
            if self._taken is not None:
                state.free.append(self._taken.buffer)
                self._taken = None
            last = step + self._ahead if self._end is None else min(step + self._ahead, self._end - 1)
            for number in [one for one in state.slots if not step <= one <= last]:
                _drop(state, state.slots.pop(number))
            while step not in state.slots or state.slots[step].left:
                if state.closed:
                    raise RuntimeError("the ring was closed")
                if not _begin(state, step, last):
                    state.changed.wait()
            _begin(state, step, last)
            slot = state.slots.pop(step)
            if slot.problem is not None:
                state.free.append(slot.buffer)
                raise slot.problem
            self._taken = slot
            return slot.buffer


def _begin(state: _State[Buffer], step: int, last: int) -> bool:
    """Gives buffers that are free to the next steps that have none; whether there was any."""
    begun = False
    for number in range(step, last + 1):
        if number in state.slots:
            continue
        if not state.free:
            break
        slot = state.slots[number] = _Slot(number, state.free.pop(), state.pieces)
        state.work.extend((slot, piece) for piece in range(state.pieces))
        begun = True
    if begun:
        state.changed.notify_all()
    return begun


def _drop(state: _State[Buffer], slot: _Slot[Buffer]) -> None:
    """Takes back what no thread has begun; the last thread that is at work on the slot frees its buffer."""
    slot.dropped = True
    state.work = deque(item for item in state.work if item[0] is not slot)
    if not slot.running:
        state.free.append(slot.buffer)


def _work(state: _State[Buffer]) -> None:
    while True:
        with state.changed:
            while not state.work and not state.closed:
                state.changed.wait()
            if state.closed:
                return
            slot, piece = state.work.popleft()
            slot.running += 1
            skip = slot.problem is not None
        problem: BaseException | None = None
        try:
            if not skip:
                state.fill(slot.step, piece, slot.buffer)
        except BaseException as caught:  # whatever it is, it belongs to whoever takes the step
            problem = caught
        with state.changed:
            slot.running, slot.left = slot.running - 1, slot.left - 1
            slot.problem = slot.problem or problem
            if slot.dropped and not slot.running:
                state.free.append(slot.buffer)
            state.changed.notify_all()
        del slot, problem


def _close(state: _State[Buffer], workers: list[threading.Thread], ended: Callable[[], object]) -> None:
    with state.changed:
        state.closed = True
        state.work.clear()
        state.changed.notify_all()
    if threading.current_thread() in workers:  # which the garbage collector may choose; it cannot wait for itself
        return
    for worker in workers:
        worker.join()
    ended()
