"""What the charts draw against density: a number of every network, its axis, and how it is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lth.report.summary import Group, Groups, Value, accuracy
from lth.results.estimate import Estimate
from lth.results.wording import percent, points, share
from lth.runs.records import CellResult


@dataclass(frozen=True)
class Measure:
    """`value` of a network, `scale` times which is drawn on the `axis`; `text` writes a mean with its interval, `gap`
    a mean difference to dense, and `short` a mean alone. `top` is the largest value there can be."""

    name: str
    axis: str
    value: Value
    scale: float
    top: float | None
    text: Callable[[Estimate], str]
    short: Callable[[float], str]
    gap: Callable[[float], str]


def row(groups: Groups, group: Group, measure: Measure) -> dict[str, Any]:
    """Returns what a chart holds of a group: where it stands, its mean and interval, and the words of its tooltip."""
    gap = groups.to_dense(group, measure.value)
    where = {
        "density": 100 * groups.beside(group),
        "kept of prunable": share(group.density),
        "rewound to": str(group.rewind),
        "network": group.name,
    }
    return (
        where | height(group, measure) | {"difference to dense": measure.gap(gap.mean) if gap else "no dense network"}
    )


def height(group: Group, measure: Measure) -> dict[str, Any]:
    """Returns mean and interval of a group on the axis of the measure, and in words."""
    found = group.over(measure.value)
    low, high = (found.mean if end is None else end for end in (found.low, found.high))
    ends = {"low": max(low, 0.0), "mean": found.mean, "high": high if measure.top is None else min(high, measure.top)}
    drawn = {name: measure.scale * value for name, value in ends.items()}
    return drawn | {measure.name: measure.text(found), "seeds": found.n}


def cut(main: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> tuple[float, float] | None:
    """Returns the ends of an axis for `main`, lest points far below flatten it; None where none of `others` is."""
    low, high = min(one["low"] for one in main), max(one["high"] for one in main)
    start = float(math.floor(low - (high - low) / 4))
    if not others or min(one["mean"] for one in others) >= start:
        return None
    return start, float(math.ceil(max(one["high"] for one in (*main, *others))))


def _steps(result: CellResult) -> float:
    return result.early_stop_step - result.first_step


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _signed(difference: float) -> str:
    return f"{difference:+,.0f} steps".replace("-", "−")


def _interval(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return _whole(found.mean)
    return f"{_whole(found.mean)} [{_whole(max(found.low, 0.0))}, {_whole(found.high)}]"


ACCURACY = Measure(
    "accuracy", "Validation accuracy in %", accuracy, 100, 1.0, Estimate.words, percent, points
)  # fmt: skip
EARLY_STOP = Measure("early stop", "Steps to the early stop", _steps, 1, None, _interval, _whole, _signed)
EARLY_ACCURACY = Measure(
    "accuracy", "Validation accuracy at the early stop in %", lambda result: result.early_stop_validation_top1, 100,
    1.0, Estimate.words, percent, points,
)  # fmt: skip
