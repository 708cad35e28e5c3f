"""The chart of the levels close to dense, with the bounds that decide whether they match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lth.report.chart import Figure, data, density_x, finished, label, rewinds
from lth.report.palette import var
from lth.report.summary import Groups
from lth.results.selection import Selection
from lth.results.walk import Level
from lth.results.wording import points, share
from lth.spec.schema import Spec

APART = 1.014  # rewind points stand side by side, so that their bars do not cover each other
HINTS = ["rewound to", "kept of prunable", "difference to dense", "lower bound", "matches"]


def closeness(spec: Spec, groups: Groups, selection: Selection) -> Figure | None:
    """Returns the levels of the walks near dense: their mean difference, and the lower bound that decides.

    Levels further below dense than 3 pp and four tolerances are left out.
    """
    import altair

    floor = -max(3.0, 400 * spec.select.tolerance)
    rows = _rows(spec, groups, selection.levels, floor)
    if not rows:
        return None
    x = density_x([row["density"] for row in rows])
    top = max(0.0, *(row["mean"] for row in rows)) - floor / 12
    y = altair.Y("mean:Q", title="Difference to dense in pp", scale=altair.Scale(domain=[floor, top], nice=False))
    base = altair.Chart(data(rows)).encode(x=x, color=rewinds([str(step) for step in spec.grid.rewind]))
    hints = [f"{name}:N" for name in HINTS]
    bars = base.mark_rule(strokeWidth=1.5).encode(y="bound:Q", y2="mean:Q", tooltip=hints)
    filled = altair.condition("datum.matches === 'yes'", altair.value(1), altair.value(0))
    dots = base.mark_point(size=36, strokeWidth=1.75, filled=False).encode(y=y, tooltip=hints)
    inner = base.mark_circle(size=36).encode(y=y, opacity=filled, tooltip=hints)
    alt, caption = _words(rows, selection, floor)
    chart = finished(altair.layer(bars, inner, dots, *_rules(100 * spec.select.tolerance, y)), alt, 340)
    return Figure("closeness", "Close to the dense network", caption, alt, chart)


def _rows(spec: Spec, groups: Groups, levels: Sequence[Level], floor: float) -> list[dict[str, Any]]:
    steps, centre = list(spec.grid.rewind), (len(spec.grid.rewind) - 1) / 2
    rows: list[dict[str, Any]] = []
    for group in groups.tickets:
        level = next((one for one in levels if (one.sparsity, one.rewind) == (group.sparsity, group.rewind)), None)
        if level is None or level.difference is None or 100 * level.difference <= floor or not group.density:
            continue
        lower = level.difference if level.lower is None else level.lower
        rows.append(
            {
                "density": 100 * group.density * APART ** (centre - steps.index(level.rewind)),
                "kept of prunable": share(group.density),
                "rewound to": str(level.rewind),
                "mean": 100 * level.difference,
                "bound": max(100 * lower, floor),
                "difference to dense": points(level.difference),
                "lower bound": "one seed" if level.lower is None else points(level.lower),
                "matches": "yes" if level.passed else f"no: {level.reason}",
            }
        )
    return rows


def _rules(tolerance: float, y: Any) -> list[Any]:
    import altair

    lines = [{"mean": 0.0, "text": "dense"}]
    lines += [{"mean": -tolerance, "text": f"tolerance −{tolerance:g} pp"}] if tolerance else []
    base = altair.Chart(data(lines)).encode(y=y)
    return [base.mark_rule(color=var("ink"), strokeDash=[5, 3]), *label(base, dy=-8)]


def _words(rows: Sequence[dict[str, Any]], selection: Selection, floor: float) -> tuple[str, str]:
    matching = [row for row in rows if row["matches"] == "yes"]
    alt = f"Chart of differences to dense with lower bounds: {len(matching)} of {len(selection.levels)} levels match."
    if matching:
        alt += f" The sparsest of them keeps {min(matching, key=lambda row: row['density'])['kept of prunable']}."
    caption = "Points are mean differences over seeds, bars reach down to the one-sided bound that decides. "
    caption += "A filled point matches: its bound, and that of every denser level tested, lies above the tolerance. "
    return alt, caption + f"Levels below {f'{floor:g}'.replace('-', '−')} pp are left out."
