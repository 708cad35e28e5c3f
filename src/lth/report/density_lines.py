"""Lines against density: a line a rewind point, the dense band, each control with a colour and a mark of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lth.report.chart import data, density_x, label, legend, ordered, rewinds
from lth.report.measure import Measure, cut, height, row
from lth.report.palette import mark, var
from lth.report.summary import Group, Groups, title
from lth.spec.step import Step
from lth.spec.variants import VARIANTS

Winner = tuple[float | None, Step | None]


def drawable(group: Group) -> bool:
    """Returns whether a group has a place on a logarithmic axis."""
    return group.density > 0


def ends(groups: Groups, measure: Measure) -> tuple[float, float] | None:
    """Returns the ends of the axis where controls far below the tickets are cut off; None where it holds them all."""
    if measure.top is None:
        return None
    tickets = [row(groups, group, measure) for group in groups.tickets if drawable(group)]
    return cut(tickets, [row(groups, group, measure) for group in groups.controls if drawable(group)])


def density_lines(groups: Groups, measure: Measure, winner: Winner) -> Any:
    """Returns the chart of a measure of tickets, dense networks and controls against density; some ticket is there."""
    import altair

    tickets = [group for group in groups.tickets if drawable(group)]
    controls = [group for group in groups.controls if drawable(group)]
    x = density_x([100 * groups.beside(group) for group in (*tickets, *controls)])
    layers = [*_dense(groups.dense, measure), _lines(groups, measure, tickets, x)]
    layers += _controls(groups, measure, controls, x)
    selected = [row(groups, group, measure) for group in tickets if (group.sparsity, group.rewind) == winner]
    layers += _ring(selected, measure, x) if selected else []
    return altair.layer(*layers).resolve_scale(color="independent", shape="independent")


def hints(measure: Measure, *first: str) -> list[str]:
    """Returns the fields of a tooltip."""
    return [f"{name}:N" for name in (*first, "kept of prunable", measure.name, "difference to dense", "seeds")]


def y_axis(measure: Measure, ends: tuple[float, float] | None) -> Any:
    """Returns the channel of the means, its axis between these ends."""
    import altair

    given: dict[str, Any] = {} if ends is None else {"domainMin": ends[0], "domainMax": ends[1], "nice": False}
    return altair.Y("mean:Q", title=measure.axis, scale=altair.Scale(zero=False, **given))


def _dense(dense: Group | None, measure: Measure) -> list[Any]:
    import altair

    if dense is None:
        return []
    text = f"dense {measure.short(dense.over(measure.value).mean)}"
    base = altair.Chart(data([height(dense, measure) | {"text": text}]))
    shown = [f"{measure.name}:N", "seeds:N"]
    band = base.mark_rect(color=var("band"), opacity=0.28).encode(y="low:Q", y2="high:Q", tooltip=shown)
    rule = base.mark_rule(color=var("ink"), strokeWidth=1.25).encode(y="mean:Q", tooltip=shown)
    return [band, rule, *label(base.encode(y="mean:Q"), dy=-9)]


def _ring(selected: list[dict[str, Any]], measure: Measure, x: Any) -> list[Any]:
    """A ring around the selected ticket, and the word below it."""
    import altair

    base = altair.Chart(data([row | {"text": "selected"} for row in selected])).encode(x=x, y="mean:Q")
    ring = base.mark_point(size=190, color=var("ink"), strokeWidth=2, filled=False)
    return [ring.encode(tooltip=hints(measure, "rewound to")), *label(base, right=False, dy=26)]


def _lines(groups: Groups, measure: Measure, tickets: Sequence[Group], x: Any) -> Any:
    import altair

    names, once = [str(step) for step in groups.spec.grid.rewind], measure.name.replace(" ", "_")
    chosen = altair.selection_point(name="rewind_chosen", fields=["rewound to"], bind="legend")
    base = altair.Chart(data([row(groups, group, measure) for group in tickets])).encode(x=x, color=rewinds(names))
    shading = altair.when(chosen).then(altair.value(0.13)).otherwise(altair.value(0.0))
    strength = altair.when(chosen).then(altair.value(1)).otherwise(altair.value(0.12))
    area = base.mark_area().encode(y="low:Q", y2="high:Q", opacity=shading)
    line = base.mark_line(strokeWidth=1.75).encode(y=y_axis(measure, ends(groups, measure)), opacity=strength)
    dots = base.mark_circle(size=34).encode(y="mean:Q", opacity=strength, tooltip=hints(measure, "rewound to"))
    return altair.layer(area, line, dots.add_params(chosen).properties(name=f"rewinds_{once}"))


def _controls(groups: Groups, measure: Measure, controls: Sequence[Group], x: Any) -> list[Any]:
    import altair

    if not controls:
        return []
    names = list(dict.fromkeys(group.control or "" for group in sorted(controls, key=_place)))
    labels, marks = [title(name) for name in names], [mark(name) for name in names]
    rows = [row(groups, group, measure) | {"control": group.name} for group in controls]
    colour = ordered("control", labels, [colour for colour, _ in marks], "Controls", columns=2)
    scale = altair.Scale(domain=labels, range=[shape for _, shape in marks])
    shape = altair.Shape("control:N", sort=None, scale=scale, legend=legend("Controls", 2))
    base = altair.Chart(data(rows)).encode(x=x, color=colour)
    line = base.mark_line(strokeWidth=1, strokeDash=[4, 3], opacity=0.8, clip=True).encode(
        y="mean:Q", detail="rewound to:N"
    )
    bars = base.mark_rule(strokeWidth=1.25, opacity=0.6, clip=True).encode(y="low:Q", y2="high:Q")
    points = base.mark_point(size=75, filled=False, strokeWidth=2, clip=True)
    shown = points.encode(y="mean:Q", shape=shape, tooltip=hints(measure, "control", "rewound to"))
    return [altair.layer(line, bars, shown)]


def _place(group: Group) -> int:
    return list(VARIANTS).index(group.control or "")
