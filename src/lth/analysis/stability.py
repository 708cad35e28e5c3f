"""Stability of a run's networks: barriers between copies and between levels, and from which rewind point there is none.

Source: Frankle et al. 2020, "Linear mode connectivity and the lottery ticket hypothesis"; for levels, Paul et al.
2023, "Unmasking the lottery ticket hypothesis".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from lth.analysis.cache import Cache
from lth.analysis.connectivity import POINTS, WAYS, Way
from lth.analysis.earliest import Earliest, earliest
from lth.analysis.likeness import Likeness, likenesses
from lth.analysis.measurement import Measured, Told, measure, nobody
from lth.analysis.pairs import pairs, require
from lth.analysis.rows import Row, rows
from lth.runs.run import Run
from lth.training.workspace import Workspace


@dataclass(frozen=True)
class Stability:
    """The stability analysis of a run, its lines taken at `points` points."""

    points: int
    measured: tuple[Measured, ...]
    rows: tuple[Row, ...]
    earliest: tuple[Earliest, ...]
    likenesses: tuple[Likeness, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns the rows, verdicts and likenesses as JSON values; the lines themselves are in the run directory."""
        return {
            "points": self.points,
            "rows": [row.as_json() for row in self.rows],
            "earliest_stable": [one.as_json() for one in self.earliest],
            "likeness": [one.as_json() for one in self.likenesses],
        }


def stability(run: Run, *, points: int = POINTS, ways: Sequence[Way] = WAYS, told: Told = nobody) -> Stability:
    """Returns barriers, earliest stable rewind points and likenesses of all networks trained in the run.

    What was computed before is read from `analysis/stability.json`; `told` hears of each pair that is computed now.
    Raises RunError where the run has neither copies nor levels.
    """
    results = run.results()
    found = pairs(results)
    require(run, found)
    cache, work = cache_of(run), Workspace(run, Event())
    by_seed = sorted(found, key=lambda pair: pair.second.seed)  # whose data are in memory one after the other
    known = [measure(work, cache, pair, points, ways, told) for pair in by_seed]
    measured = tuple(sorted(known, key=lambda one: one.pair.order))
    summed = tuple(rows(measured, ways))
    alike = tuple(likenesses(work, cache, results))
    return Stability(points, measured, summed, tuple(earliest(summed)), alike)


def cache_of(run: Run) -> Cache:
    """Returns the numbers computed before in this run."""
    return Cache(run.layout.analysis / "stability.json")
