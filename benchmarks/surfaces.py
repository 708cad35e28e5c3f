"""Made-up surfaces of true deficits over sparsity and rewind point, for the benchmark of the adaptive search."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lth.spec.step import Step

Deficits = np.ndarray  # rewind points x sparsities, as fractions of accuracy
HAIR = 1e-9  # just beyond the tolerance: the hardest deficit not to call matching


def cliff(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns cliffs that are too deep by a hair, by half the tolerance, or by 2 or 10 tolerances."""
    return hair(draw, points, sparsities, tolerance) * (1 + draw.choice([0.0, 0.0, 0.5, 2.0, 10.0]))


def hair(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns no deficit up to a knee at any level, later for later rewind points, and a hair too much beyond it."""
    knees = np.sort(draw.integers(0, len(sparsities), points) // 2 + draw.integers(0, len(sparsities) // 2 + 1))
    return np.where(np.arange(len(sparsities)) <= knees[:, None], 0.0, tolerance + HAIR)


def slope(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns deficits that grow as a power of 1 / density and cross the tolerance somewhere in the grid."""
    density = 1 - np.array(sparsities)
    crossing = np.sort(draw.uniform(density[-1], density[0], points))[::-1]
    return tolerance * (crossing[:, None] / density) ** draw.uniform(1, 4)


def non_monotone(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns a slope whose every cell is off by a normal deviation of up to one tolerance."""
    bumps = draw.normal(0, tolerance * draw.uniform(0.2, 1.0), (points, len(sparsities)))
    return slope(draw, points, sparsities, tolerance) + bumps


def ticket_free(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns deficits beyond the tolerance everywhere: by a hair in half of the surfaces, in the others growing."""
    beyond = slope(draw, points, sparsities, tolerance) if draw.random() < 0.5 else 0.0
    return tolerance + HAIR + beyond + np.zeros((points, len(sparsities)))


def flat(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns one deficit everywhere, of nothing to half the tolerance: every cell matches."""
    return np.full((points, len(sparsities)), tolerance * draw.uniform(0, 0.5))


def islands(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns cliffs with two to four matching levels behind at least one that does not match, at each rewind point."""
    return _with_islands(draw, cliff(draw, points, sparsities, tolerance), tolerance)


def hair_islands(draw: np.random.Generator, points: int, sparsities: Sequence[float], tolerance: float) -> Deficits:
    """Returns islands behind levels that do not match by a hair."""
    return _with_islands(draw, hair(draw, points, sparsities, tolerance), tolerance)


def _with_islands(draw: np.random.Generator, deficits: Deficits, tolerance: float) -> Deficits:
    for row in deficits:
        beyond = np.flatnonzero(row > tolerance)
        if len(beyond) > 3:
            start = draw.integers(1, len(beyond) - 2)
            row[beyond[start : start + draw.integers(2, 5)]] = 0.0
    return deficits


Surface = Callable[[np.random.Generator, int, Sequence[float], float], Deficits]
SURFACES: dict[str, Surface] = {
    "cliff": cliff,
    "slope": slope,
    "non-monotone": non_monotone,
    "ticket-free": ticket_free,
    "flat": flat,
    "islands": islands,
}
HARDEST: dict[str, Surface] = {"cliff by a hair": hair, "islands by a hair": hair_islands}


def truth(deficits: Deficits, sparsities: Sequence[float], rewind: Sequence[Step]) -> Callable[[float, Step], float]:
    """Returns the surface as a function of sparsity and rewind point."""
    known = {(one, step): float(deficits[j, i]) for j, step in enumerate(rewind) for i, one in enumerate(sparsities)}
    return lambda sparsity, step: known[sparsity, step]
