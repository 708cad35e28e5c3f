"""The charts of the grid: accuracy against density, and density by rewind point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lth.report.chart import Figure, data, density_x, finished, legend, ordered
from lth.report.palette import ramp, var
from lth.report.summary import Estimate, Group, Groups, density_text, interval_text, points, validation
from lth.results.statistics import Difference
from lth.spec.schema import Spec
from lth.spec.step import Step

CONTROL_NAMES = {"reinit": "reinit", "shuffled_mask": "shuffled mask", "random_mask": "random mask"}
CONTROL_COLOURS = {"reinit": var("control"), "shuffled_mask": var("control-2"), "random_mask": var("control-3")}
CONTROL_SHAPES = {"reinit": "cross", "shuffled_mask": "triangle-up", "random_mask": "diamond"}


def accuracy(spec: Spec, groups: Groups) -> Figure:
    """Returns validation accuracy against density: a line a rewind point, the dense band, the controls as marks."""
    import altair

    tickets = [group for group in groups.tickets if group.density > 0]
    controls = [group for group in groups.controls if group.density > 0]
    x = density_x([100 * group.density for group in (*tickets, *controls)])
    layers = [*_dense_band(groups), _lines(spec, groups, tickets, x), *_controls(groups, controls, x)]
    alt = _accuracy_words(groups)
    chart = altair.layer(*layers).resolve_scale(color="independent", shape="independent")
    caption = (
        "Each point is a mean over seeds; the shading is its two-sided 95 % interval. The grey band is the dense network. "
        "Choose a rewind point in the legend to bring it out."
    )
    return Figure("accuracy", "Accuracy against density", caption, alt, finished(chart, alt, 360))


def _dense_band(groups: Groups) -> list[Any]:
    import altair

    if groups.dense is None:
        return []
    found = groups.dense.over(validation)
    row = _ends(found) | {"text": f"dense {100 * found.mean:.2f} %", **_hints(groups, groups.dense, "dense")}
    base = altair.Chart(data([row]))
    band = base.mark_rect(color=var("band"), opacity=0.28).encode(y="low:Q", y2="high:Q", tooltip=_tooltip("dense"))
    rule = base.mark_rule(color=var("ink"), strokeWidth=1.25).encode(y="accuracy value:Q")
    place = {"align": "right", "dx": -4, "dy": -8, "fontSize": 12, "color": var("ink")}
    label = base.mark_text(**place).encode(x=altair.value("width"), y="accuracy value:Q", text="text:N")
    return [band, rule, label]


def _lines(spec: Spec, groups: Groups, tickets: Sequence[Group], x: Any) -> Any:
    import altair

    names = [str(step) for step in spec.grid.rewind]
    rows = [_row(groups, group) | {"rewind": str(group.rewind)} for group in tickets]
    chosen = altair.selection_point(name="rewind_chosen", fields=["rewind"], bind="legend")
    base = altair.Chart(data(rows)).encode(
        x=x, color=ordered("rewind", names, ramp(len(names)), "Rewound to", 6, "stroke")
    )
    value = altair.Y("accuracy value:Q", title="Validation accuracy in %", scale=altair.Scale(zero=False))
    area = base.mark_area().encode(
        y=altair.Y("low:Q"),
        y2="high:Q",
        opacity=altair.when(chosen).then(altair.value(0.13)).otherwise(altair.value(0.0)),
    )
    shown = altair.when(chosen).then(altair.value(1)).otherwise(altair.value(0.12))
    line = base.mark_line(strokeWidth=1.75).encode(y=value, opacity=shown)
    dots = base.mark_circle(size=34).encode(y=value, opacity=shown, tooltip=["rewind:N", *_tooltip()])
    return altair.layer(area, line, dots.add_params(chosen).properties(name="rewinds"))


def _controls(groups: Groups, controls: Sequence[Group], x: Any) -> list[Any]:
    import altair

    if not controls:
        return []
    names = [name for name in CONTROL_NAMES if any(group.control == name for group in controls)]
    rows = [
        _row(groups, group) | {"control": CONTROL_NAMES[str(group.control)], "rewind": str(group.rewind)}
        for group in controls
    ]
    labels, colours = [CONTROL_NAMES[name] for name in names], [CONTROL_COLOURS[name] for name in names]
    base = altair.Chart(data(rows)).encode(x=x, color=ordered("control", labels, colours, "Controls"))
    bars = base.mark_rule(strokeWidth=1.25).encode(y="low:Q", y2="high:Q")
    shape = altair.Scale(domain=labels, range=[CONTROL_SHAPES[name] for name in names])
    marks = base.mark_point(size=75, filled=False, strokeWidth=2).encode(
        y="accuracy value:Q",
        shape=altair.Shape("control:N", sort=None, scale=shape, legend=legend("Controls")),
        tooltip=["control:N", "rewind:N", *_tooltip()],
    )
    return [altair.layer(bars, marks)]


def _row(groups: Groups, group: Group) -> dict[str, Any]:
    return (
        {"density": 100 * group.density}
        | _ends(group.over(validation))
        | _hints(groups, group, density_text(group.density))
    )


def _ends(found: Estimate) -> dict[str, float]:
    """The mean and the interval in percent, the interval cut where no accuracy can be."""
    low, high = (found.mean if end is None else min(max(end, 0.0), 1.0) for end in (found.low, found.high))
    return {"accuracy value": 100 * found.mean, "low": 100 * low, "high": 100 * high}


def _hints(groups: Groups, group: Group, name: str) -> dict[str, str]:
    found = group.over(validation)
    to_dense = None if group.dense else groups.to_dense(group)
    hints = {"density of prunable": name, "validation accuracy": interval_text(found), "seeds": str(found.n)}
    return hints | ({"difference to dense": points(to_dense.mean)} if to_dense else {})


def _tooltip(name: str | None = None) -> list[str]:
    fields = ["validation accuracy:N", "seeds:N"]
    return fields if name else ["density of prunable:N", *fields, "difference to dense:N"]


def _accuracy_words(groups: Groups) -> str:
    if not groups.tickets:
        return "Accuracy against density: no ticket has been trained yet."
    ordered_tickets = sorted(groups.tickets, key=lambda group: -group.density)
    first, last = ordered_tickets[0], ordered_tickets[-1]
    dense = f" The dense network reaches {interval_text(groups.dense.over(validation))}." if groups.dense else ""
    ends = [
        f"{interval_text(group.over(validation))} at {density_text(group.density)} density" for group in (first, last)
    ]
    return f"Line chart of validation accuracy against density, one line a rewind point: {ends[0]}, {ends[1]}.{dense}"


def heat_map(spec: Spec, groups: Groups, winner: tuple[float, Step] | None) -> Figure:
    """Returns the difference to dense in percentage points, densities as rows and rewind points as columns."""
    import altair

    found = [(group, groups.to_dense(group)) for group in groups.tickets]
    bins = _bins(100 * spec.select.tolerance)
    rows = [_tile(group, to_dense, bins) for group, to_dense in found if to_dense is not None]
    names, rewinds = [name for name, _, _ in bins], [str(step) for step in spec.grid.rewind]
    height = list(
        dict.fromkeys(density_text(group.density) for group in sorted(groups.tickets, key=lambda g: -g.density))
    )
    base = altair.Chart(data(rows)).encode(
        x=altair.X(
            "rewind:N",
            sort=rewinds,
            title="Rewound to",
            axis=altair.Axis(orient="top", labelAngle=0, ticks=False, domain=False),
        ),
        y=altair.Y(
            "density:N", sort=height, title="Density over prunable weights", axis=altair.Axis(ticks=False, domain=False)
        ),
    )
    fill = ordered(
        "range", names, [var(colour) for _, _, colour in bins], "Ticket minus dense, percentage points", columns=3
    )
    inks = altair.Scale(domain=names, range=[var(f"{colour}-ink") for _, _, colour in bins])
    tiles = base.mark_rect(stroke=var("surface"), strokeWidth=2).encode(
        color=fill, tooltip=["density:N", "rewind:N", "difference:N", "interval:N", "seeds:N"]
    )
    texts = base.mark_text(fontSize=11.5).encode(
        text="text:N", color=altair.Color("range:N", sort=None, scale=inks, legend=None)
    )
    layers = [tiles, texts.properties(name="numbers")]
    marked = [row for row in rows if winner is not None and row["key"] == _key(*winner)]
    if marked:
        layers.append(base.properties(data=data(marked)).mark_rect(fill=None, stroke=var("ink"), strokeWidth=3))
    alt = _heat_words(rows, marked)
    chart = altair.layer(*layers).resolve_scale(color="independent")
    caption = (
        "Mean over seeds of the ticket's validation accuracy minus that of its own dense network, in percentage points. "
        f"Blue is within the tolerance of {100 * spec.select.tolerance:g} pp, orange below it."
        + (" The outlined cell is the one selected." if marked else "")
    )
    return Figure(
        "heat-map",
        "Difference to dense, by density and rewind point",
        caption,
        alt,
        finished(chart, alt, 24 * len(height)),
    )


def _bins(tolerance: float) -> list[tuple[str, float, str]]:
    """The ranges of the difference, best first: name, lower end in percentage points, colour."""
    ends = [0.0, -tolerance] if tolerance else [0.0]
    ends += [end for end in (-2.0, -5.0, -10.0) if end < -tolerance][: 5 - len(ends)]
    colours = (["heat-5", "heat-4"] if tolerance else ["heat-5"]) + ["heat-3", "heat-2", "heat-1", "heat-0"]
    found = [("0 or above", 0.0, "heat-5")]
    for upper, lower, colour in zip(ends, ends[1:], colours[1:], strict=False):
        found.append((f"{_signed(lower)} to {_signed(upper)}", lower, colour))
    return [*found, (f"below {_signed(ends[-1])}", float("-inf"), colours[len(ends)])]


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _tile(group: Group, to_dense: Difference, bins: list[tuple[str, float, str]]) -> dict[str, Any]:
    assert group.sparsity is not None
    assert group.rewind is not None
    value = 100 * to_dense.mean
    collapsed = any(result.collapsed for result in group.results)
    interval = to_dense.interval()
    return {
        "density": density_text(group.density),
        "rewind": str(group.rewind),
        "key": _key(group.sparsity, group.rewind),
        "range": next(name for name, lower, _ in bins if value >= lower - 1e-9),
        "text": points(to_dense.mean).removesuffix(" pp") + (" ×" if collapsed else ""),
        "difference": points(to_dense.mean),
        "interval": "one seed" if interval is None else " to ".join(map(points, interval)),
        "seeds": to_dense.n,
    }


def _key(sparsity: float, rewind: Step) -> str:
    return f"{sparsity!r} {rewind}"


def _heat_words(rows: Sequence[dict[str, Any]], marked: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return "Table of differences to dense: no ticket has been compared yet."
    winner = "".join(
        f" Selected: {row['density']} density rewound to {row['rewind']}, {row['difference']}." for row in marked
    )
    return f"Table of {len(rows)} cells, densities by rewind points: the ticket's accuracy minus that of the dense network.{winner}"
