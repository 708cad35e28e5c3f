"""The grid that all engines are compared on, on the simplest of them: what the comparison itself rests on."""

from __future__ import annotations

from pathlib import Path

import pytest
from engines.grid import UNITS, check_whole, lth, write_spec


def test_the_grid_has_twelve_units_and_learns(undisturbed: dict[str, str], tmp_path: Path) -> None:
    assert len(undisturbed) == UNITS - 1
    run = tmp_path / "run"
    done = lth("run", write_spec(tmp_path, "processes"), "--into", run)
    assert done.returncode == 0, done.stderr
    check_whole(run, undisturbed)


def test_the_comparison_notices_a_difference(undisturbed: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = lth("run", write_spec(tmp_path), "--into", run)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AssertionError):
        check_whole(run, {**undisturbed, "dense-seed0": "0" * 64})
    (run / "cells" / "s0.9-r0-seed0" / "attempt-of-a-loser").mkdir()
    with pytest.raises(AssertionError):
        check_whole(run, undisturbed)
