"""How numbers and networks are written in the sentences of a selection."""

from __future__ import annotations

import math
from collections.abc import Iterable

from lth.spec.step import Step
from lth.spec.values import decimal

Interval = tuple[float, float]


def cell_name(sparsity: float | None, rewind: Step, level: int | None = None, threshold: float | None = None) -> str:
    """Returns the id of a cell without its seed: "s0.88-r10ep"; "l07-r10ep" of iterative pruning, "t0.02-r10ep"."""
    if level is not None:
        return f"l{level:02}-r{rewind}"
    if threshold is not None:
        return f"t{decimal(threshold)}-r{rewind}"
    return f"s{decimal(sparsity or 0.0)}-r{rewind}"


def percent(fraction: float, digits: int = 2) -> str:
    """Returns a fraction in percent: 0.9763 -> "97.63 %"."""
    return f"{100 * fraction:.{digits}f} %"


def share(fraction: float) -> str:
    """Returns a sparsity or density in percent with up to three significant digits: 0.12 -> "12 %"."""
    return f"{100 * fraction:.3g} %"


def size(difference: float) -> str:
    """Returns the size of a difference in percentage points: -0.0052 -> "0.52 pp"."""
    return f"{100 * abs(difference):.2f} pp"


def rounded_up(difference: float) -> str:
    """Returns the smallest value in steps of 0.01 pp that is not below the difference: 0.00821 -> "0.83 pp"."""
    return size(math.ceil(round(1e4 * difference, 6)) / 1e4)


def points(difference: float) -> str:
    """Returns a signed difference in percentage points: -0.0052 -> "−0.52 pp"."""
    return f"{100 * difference:+.2f} pp".replace("-", "−")


def brackets(interval: Interval) -> str:
    """Returns an interval of differences in percentage points: "[−0.90, +0.14]"."""
    low, high = interval
    return f"[{100 * low:+.2f}, {100 * high:+.2f}]".replace("-", "−")


def count(n: int, noun: str) -> str:
    """Returns "1 seed" or "5 seeds"."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def listed(values: Iterable[object]) -> str:
    """Returns the values joined by commas: "0, 1, 2"."""
    return ", ".join(str(value) for value in values)


def named_seeds(seeds: Iterable[int]) -> str:
    """Returns "seed 3" or "seeds 3, 4"."""
    chosen = list(seeds)
    return f"seed {chosen[0]}" if len(chosen) == 1 else f"seeds {listed(chosen)}"
