"""The chart of accuracy against density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lth.report.chart import Figure, data, density_x, finished, label, legend, ordered, rewinds
from lth.report.palette import CONTROL_COLOURS, var
from lth.report.summary import CONTROLS, Group, Groups
from lth.results.wording import percent, points, share
from lth.spec.schema import Spec
from lth.spec.step import Step

CONTROL_SHAPES = {"reinit": "cross", "shuffled_mask": "triangle-up", "random_mask": "diamond"}


def accuracy(spec: Spec, groups: Groups, winner: tuple[float | None, Step | None]) -> Figure | None:
    """Returns validation accuracy against density: a line a rewind point, the dense band, the controls as marks."""
    import altair

    tickets = [group for group in groups.tickets if group.density > 0]
    controls = [group for group in groups.controls if group.density > 0 and group.control in CONTROLS]
    if not tickets:
        return None
    x = density_x([100 * group.density for group in (*tickets, *controls)])
    layers = [*_dense(groups.dense), _lines(spec, groups, tickets, x), *_controls(groups, controls, x)]
    selected = [_point(groups, group) for group in tickets if (group.sparsity, group.rewind) == winner]
    layers += _ring(selected, x) if selected else []
    alt = _words(groups, tickets)
    chart = altair.layer(*layers).resolve_scale(color="independent", shape="independent")
    caption = "Points are means over seeds, shading their 95 % intervals, the grey band the dense network. "
    caption += "Choosing a rewind point in the legend brings it out."
    return Figure("accuracy", "Accuracy against density", caption, alt, finished(chart, alt, 340))


def _dense(dense: Group | None) -> list[Any]:
    import altair

    if dense is None:
        return []
    found = dense.validation
    base = altair.Chart(data([_height(dense) | {"text": f"dense {percent(found.mean)}"}]))
    hints = ["accuracy:N", "seeds:N"]
    band = base.mark_rect(color=var("band"), opacity=0.28).encode(y="low:Q", y2="high:Q", tooltip=hints)
    rule = base.mark_rule(color=var("ink"), strokeWidth=1.25).encode(y="mean:Q", tooltip=hints)
    return [band, rule, *label(base.encode(y="mean:Q"), dy=-9)]


def _ring(selected: list[dict[str, Any]], x: Any) -> list[Any]:
    """A ring around the selected ticket, and the word below it."""
    import altair

    base = altair.Chart(data([row | {"text": "selected"} for row in selected])).encode(x=x, y="mean:Q")
    ring = base.mark_point(size=190, color=var("ink"), strokeWidth=2, filled=False).encode(tooltip=_hints("rewound to"))
    return [ring, *label(base, right=False, dy=26)]


def _lines(spec: Spec, groups: Groups, tickets: Sequence[Group], x: Any) -> Any:
    import altair

    names = [str(step) for step in spec.grid.rewind]
    chosen = altair.selection_point(name="rewind_chosen", fields=["rewound to"], bind="legend")
    base = altair.Chart(data([_point(groups, group) for group in tickets])).encode(x=x, color=rewinds(names))
    y = altair.Y("mean:Q", title="Validation accuracy in %", scale=altair.Scale(zero=False))
    shading = altair.when(chosen).then(altair.value(0.13)).otherwise(altair.value(0.0))
    strength = altair.when(chosen).then(altair.value(1)).otherwise(altair.value(0.12))
    area = base.mark_area().encode(y="low:Q", y2="high:Q", opacity=shading)
    line = base.mark_line(strokeWidth=1.75).encode(y=y, opacity=strength)
    dots = base.mark_circle(size=34).encode(y=y, opacity=strength, tooltip=_hints("rewound to"))
    return altair.layer(area, line, dots.add_params(chosen).properties(name="rewinds"))


def _controls(groups: Groups, controls: Sequence[Group], x: Any) -> list[Any]:
    import altair

    if not controls:
        return []
    names = [name for name in CONTROLS if any(group.control == name for group in controls)]
    labels = [CONTROLS[name] for name in names]
    rows = [_point(groups, group) | {"control": CONTROLS[group.control or ""]} for group in controls]
    colour = ordered("control", labels, [CONTROL_COLOURS[name] for name in names], "Controls", columns=2)
    base = altair.Chart(data(rows)).encode(x=x, color=colour)
    bars = base.mark_rule(strokeWidth=1.25).encode(y="low:Q", y2="high:Q")
    scale = altair.Scale(domain=labels, range=[CONTROL_SHAPES[name] for name in names])
    shape = altair.Shape("control:N", sort=None, scale=scale, legend=legend("Controls", 2))
    marks = base.mark_point(size=75, filled=False, strokeWidth=2)
    return [altair.layer(bars, marks.encode(y="mean:Q", shape=shape, tooltip=_hints("control", "rewound to")))]


def _height(group: Group) -> dict[str, Any]:
    found = group.validation
    low, high = found.ends
    return {"mean": 100 * found.mean, "low": 100 * low, "high": 100 * high, "accuracy": found.words(), "seeds": found.n}


def _point(groups: Groups, group: Group) -> dict[str, Any]:
    gap = groups.to_dense(group)
    where = {"density": 100 * group.density, "kept of prunable": share(group.density), "rewound to": str(group.rewind)}
    return where | _height(group) | {"difference to dense": points(gap.mean) if gap else "no dense network"}


def _hints(*first: str) -> list[str]:
    return [f"{name}:N" for name in (*first, "kept of prunable", "accuracy", "difference to dense", "seeds")]


def _words(groups: Groups, tickets: Sequence[Group]) -> str:
    ends = (max(tickets, key=lambda group: group.density), min(tickets, key=lambda group: group.density))
    told = ", ".join(f"{group.validation.words()} at {share(group.density)} density" for group in ends)
    dense = f" The dense network reaches {groups.dense.validation.words()}." if groups.dense else ""
    return f"Line chart of validation accuracy against density, one line a rewind point: {told}.{dense}"
