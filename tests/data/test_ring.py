"""The ring: the right step in every buffer, errors where they belong, no buffer in two hands, no thread left."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.data.ring import Ring


def ring(fill: Callable[[int, int, list[int]], None], buffers: int = 4, pieces: int = 3, **how: int) -> Ring[list[int]]:
    return Ring(fill, [[-1] * pieces for _ in range(buffers)], pieces=pieces, **how)


def write(step: int, piece: int, buffer: list[int]) -> None:
    buffer[piece] = step * 10 + piece


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(1, 3), st.integers(1, 5))
def test_every_step_in_any_order(steps: list[int], threads: int, buffers: int) -> None:
    made = ring(write, buffers, threads=threads, end=21)
    for step in steps:
        assert made.take(step) == [step * 10, step * 10 + 1, step * 10 + 2]
    made.close()


def test_what_was_taken_is_left_alone_until_the_next() -> None:
    full = threading.Event()

    def fill(step: int, piece: int, buffer: list[int]) -> None:
        write(step, piece, buffer)
        if step == 3:
            full.set()

    made = ring(fill, 4, pieces=1)
    taken = made.take(0)
    assert full.wait(10)  # the steps 1 to 3 fill the other buffers, and nothing more can be begun
    assert taken == [0]
    assert [made.take(step)[0] for step in (1, 2, 3, 4)] == [10, 20, 30, 40]
    made.close()


def test_an_error_is_raised_where_its_step_is_taken_and_the_step_may_be_tried_again() -> None:
    broken = [True]

    def fill(step: int, piece: int, buffer: list[int]) -> None:
        if step == 2 and piece == 1 and broken[0]:
            raise OSError("no such row")
        write(step, piece, buffer)

    made = ring(fill, threads=2)
    assert made.take(0)[0] == 0
    assert made.take(1)[0] == 10
    with pytest.raises(OSError, match="no such row"):
        made.take(2)
    assert made.take(3) == [30, 31, 32]
    broken[0] = False
    assert made.take(2) == [20, 21, 22]
    made.close()


def test_the_end_is_not_passed() -> None:
    seen: list[int] = []

    def fill(step: int, piece: int, buffer: list[int]) -> None:
        seen.append(step)

    made = ring(fill, 8, pieces=1, end=3)
    for step in range(3):
        made.take(step)
    made.close()
    assert sorted(seen) == [0, 1, 2]


def test_a_closed_ring_says_so() -> None:
    made = ring(write)
    made.close()
    with pytest.raises(RuntimeError, match="closed"):
        made.take(0)


def test_a_forgotten_ring_ends_its_threads_and_tells() -> None:
    ended: list[bool] = []
    made = Ring(write, [[0] * 3 for _ in range(3)], 2, pieces=3, ended=lambda: ended.append(True))
    threads = [one for one in threading.enumerate() if one.name.startswith("lth-ring")]
    known = weakref.ref(made)
    made.take(5)
    del made
    gc.collect()
    assert known() is None
    assert ended == [True]
    assert not any(one.is_alive() for one in threads)
