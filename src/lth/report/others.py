"""Other ways to a sparse network: arms that keep the trained weights, methods without a ticket."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lth.report.chart import DASHES, Figure, data, density_x, finished, legend, ordered
from lth.report.density_lines import Winner, drawable, hints, y_axis
from lth.report.measure import ACCURACY, cut, row
from lth.report.palette import mark, var
from lth.report.summary import Group, Groups, title
from lth.report.table import Column, Field, Row, used
from lth.results.arms import REWINDING, Arm
from lth.results.wording import brackets, percent, points, share
from lth.spec.step import Step

COLUMNS = (
    Column("Network", words=True),
    Column("Compared with", words=True),
    Column("Density of prunable, %"),
    Column("Rewound to"),
    Column("Seeds"),
    Column("Validation accuracy, %"),
    Column("Difference, pp"),
    Column("Retraining epochs"),
    Column("Total epochs"),
    Column("Basis", words=True, long=True),
)


def others(groups: Groups, winner: Winner) -> Figure | None:
    """Returns validation accuracy of rewinding, arms and methods against density; None without any of these.

    Rewinding and the arms at the selected rewind point, or the last one: a method has none.
    """
    step = winner[1] or groups.spec.grid.rewind[-1]
    tickets = [group for group in groups.tickets if group.rewind == step and drawable(group)]
    beside = [group for group in groups.arms if group.rewind == step]
    beside = [group for group in (*beside, *groups.methods) if drawable(group)]
    if not beside:
        return None
    main, more = (
        [row(groups, group, ACCURACY) | {"network": _name(group)} for group in found] for found in (tickets, beside)
    )
    rows, names = [*main, *more], {_name(group): group.control for group in (*tickets, *beside)}
    ends = cut(main, more) if main else None
    chart = _lines(groups, rows, names, ends)
    told = ", ".join(f"{name} {_sparsest(rows, name)}" for name in names)
    alt = f"Line chart of validation accuracy against density. At the sparsest level of each: {told}."
    caption = f"Means over seeds; the arms and rewinding at rewind point {step}, the line across is the dense network. "
    caption += "How much each trained stands in the table."
    caption += "" if ends is None else f" The axis starts at {ends[0]:g} %; what lies below is cut off."
    return Figure("others", "Other ways to prune", caption, alt, finished(chart, alt, 320))


def _name(group: Group) -> str:
    return REWINDING if group.control is None else title(group.control)


def _sparsest(rows: Sequence[dict[str, Any]], name: str) -> str:
    one = min((row for row in rows if row["network"] == name), key=lambda row: row["density"])
    return f"{one['accuracy']} at {one['kept of prunable']}"


def _lines(
    groups: Groups, rows: Sequence[dict[str, Any]], names: dict[str, str | None], ends: tuple[float, float] | None
) -> Any:
    import altair

    marks = [(var("accent"), "circle") if control is None else mark(control) for control in names.values()]
    colour = ordered("network", list(names), [colour for colour, _ in marks], None, 2)
    scale = altair.Scale(domain=list(names), range=[shape for _, shape in marks])
    shape = altair.Shape("network:N", sort=None, scale=scale, legend=legend(None, 2))
    x, shown = density_x([row["density"] for row in rows]), hints(ACCURACY, "network", "rewound to")
    dashes = {name: DASHES[place % len(DASHES)] for place, name in enumerate(names)}
    rows = [row | {"dash": dashes[row["network"]]} for row in rows]
    base = altair.Chart(data(rows)).encode(x=x, color=colour)
    dash = altair.StrokeDash("dash:N", scale=None, legend=None)  # in a field of its own, lest the legend dash its marks
    line = base.mark_line(strokeWidth=1.75, clip=True).encode(y=y_axis(ACCURACY, ends), strokeDash=dash)
    points = base.mark_point(size=55, filled=False, strokeWidth=2, clip=True)
    points = points.encode(y="mean:Q", shape=shape, tooltip=shown)
    dense = [] if groups.dense is None else [{"mean": 100 * groups.dense.validation.mean}]
    rule = altair.Chart(data(dense)).mark_rule(color=var("ink"), strokeWidth=1.25).encode(y="mean:Q")
    return altair.layer(rule, line, points)


def arm_rows(groups: Groups, arms: Sequence[Arm]) -> tuple[list[Column], list[Row]]:
    """Returns the columns that tell anything, and a row for every arm and method at every sparsity and rewind point.

    Budgets stand for both sides where they differ.
    """
    found = {(group.control, group.sparsity): group.density for group in (*groups.arms, *groups.methods)}
    checks = any(arm.against != REWINDING for arm in arms)
    return used(COLUMNS, [Row(_fields(arm, found[arm.name, arm.sparsity], checks), winner=False) for arm in arms])


def _fields(arm: Arm, density: float, checks: bool) -> tuple[Field, ...]:
    interval = "" if arm.low is None or arm.high is None else f" {brackets((arm.low, arm.high))}"
    against = arm.against if arm.against == REWINDING else title(arm.against)
    return (
        Field(title(arm.name)),
        Field(against if checks else ""),
        Field(share(density).removesuffix(" %"), density),
        Field(str(arm.rewind), _moment(arm.rewind)),
        Field(str(arm.n), arm.n),
        Field(percent(arm.accuracy).removesuffix(" %"), arm.accuracy),
        Field(points(arm.difference).removesuffix(" pp") + interval, arm.difference),
        _both(arm.retraining_epochs, arm.against_retraining_epochs),
        _both(arm.total_epochs, arm.against_total_epochs),
        Field(_basis(arm)),
    )


def _moment(step: Step) -> float:
    return step.epochs + step.iterations / 1e6


def _both(own: float | None, other: float | None) -> Field:
    """Both budgets: "18", or "18, not 20" where that of the other side is another."""
    if own is None:
        return Field("", "")
    equal = other is None or math.isclose(own, other)
    return Field(f"{own:.4g}" if equal else f"{own:.4g}, not {other:.4g}", own)


def _basis(arm: Arm) -> str:
    same = [
        "equal retraining epochs" if math.isclose(arm.retraining_epochs, arm.against_retraining_epochs) else "",
        "ends at T" if math.isclose(arm.ends_at, arm.against_ends_at) else "",
    ]
    return ", ".join(filter(None, same)) or "budgets differ"
