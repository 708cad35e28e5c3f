"""Ids and folders are part of the format: pinned."""

from __future__ import annotations

import pytest

from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.spec import Step
from lth.spec.values import decimal


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.88, "0.88"), (0.0, "0"), (0.5, "0.5"), (1e-05, "0.00001"), (0.1 + 0.2, "0.30000000000000004")],
)
def test_decimal_is_the_shortest_exact_one(value: float, text: str) -> None:
    assert decimal(value) == text
    assert float(text) == value


def test_ids_and_folders_are_pinned() -> None:
    assert Cell(0.88, Step(10), 0).id == "s0.88-r10ep-seed0"
    assert Cell(0.88, Step(), 0, "reinit").id == "s0.88-r0-seed0-reinit"
    assert Cell(0.9, Step(3, 12), 7).folder == "cells/s0.9-r3ep12it-seed7"
    assert (Dense(0).id, Dense(0).folder) == ("dense-seed0", "dense/seed0")
    assert (Checkpoint(0, Step(7)).id, Checkpoint(0, Step(7)).folder) == ("dense-seed0-r7ep", "dense/seed0-r7ep")
    assert (Finish("ab").id, Finish("ab").folder) == ("finish-ab", "winner/ab")
