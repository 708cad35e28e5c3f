"""The heat map: density by rewind point, each cell the difference to dense."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lth.report.chart import Figure, data, finished, ordered
from lth.report.palette import var
from lth.report.summary import Group, Groups
from lth.results.statistics import Difference
from lth.results.wording import brackets, count, points, share
from lth.spec.schema import Spec
from lth.spec.step import Step

ROW, COLUMN = 24, 48  # pixels
HINTS = ["density:N", "rewound to:N", "difference to dense:N", "interval:N", "seeds:N"]
Range = tuple[str, float, str]


def heat_map(spec: Spec, groups: Groups, winner: tuple[float | None, Step | None]) -> Figure | None:
    """Returns the difference to dense in percentage points, densities as rows and rewind points as columns."""
    import altair

    ranges = _ranges(100 * spec.select.tolerance)
    pairs = [(group, groups.to_dense(group)) for group in groups.tickets]
    rows = [_tile(group, gap, ranges, winner) for group, gap in pairs if gap is not None]
    if not rows:
        return None
    ordered_rows = sorted(rows, key=lambda row: -row["kept"])
    densities = list(dict.fromkeys(row["density"] for row in ordered_rows))
    base = _base(densities, [str(step) for step in spec.grid.rewind])
    layers = _tiles(base.properties(data=data(rows)), ranges)
    marked = [row for row in rows if row["selected"]]
    if marked:
        frame = base.properties(data=data(marked)).mark_rect(fill=None, stroke=var("ink"), strokeWidth=3)
        layers.append(frame.encode(tooltip=HINTS))
    alt = _words(rows, marked)
    chart = altair.layer(*layers).resolve_scale(color="independent")
    caption = "Ticket minus dense on the same seeds: mean validation accuracy over seeds, in percentage points."
    caption += " The framed cell is the one selected." if marked else ""
    caption += " × marks tickets with a collapsed layer." if any("×" in row["text"] for row in rows) else ""
    caption += " Empty places were not trained." if len(rows) < len(densities) * len(spec.grid.rewind) else ""
    title = "Difference to dense by density and rewind point"
    least = 70 + COLUMN * len(spec.grid.rewind)
    return Figure("heat-map", title, caption, alt, finished(chart, alt, ROW * len(densities)), least)


def _base(densities: list[str], rewinds: list[str]) -> Any:
    import altair

    bare: dict[str, Any] = {"ticks": False, "domain": False}
    across = altair.Axis(orient="top", labelAngle=0, title="Rewound to", **bare)
    down = altair.Axis(title="Density over prunable weights", **bare)
    x = altair.X("rewound to:N", sort=rewinds, axis=across)
    return altair.Chart().encode(x=x, y=altair.Y("density:N", sort=densities, axis=down))


def _tiles(base: Any, ranges: list[Range]) -> list[Any]:
    import altair

    names = [name for name, _, _ in ranges]
    colours = [var(colour) for _, _, colour in ranges]
    fill = ordered("range", names, colours, "Percentage points; blue is within tolerance", columns=3)
    inks = altair.Scale(domain=names, range=[var(f"{colour}-ink") for _, _, colour in ranges])
    ink = altair.Color("range:N", sort=None, scale=inks, legend=None)
    tiles = base.mark_rect(stroke=var("surface"), strokeWidth=2).encode(color=fill, tooltip=HINTS)
    return [tiles, base.mark_text(fontSize=11.5).encode(text="text:N", color=ink, tooltip=HINTS)]


def _ranges(tolerance: float) -> list[Range]:
    """Ranges of the difference in percentage points, best first: name, lower end, colour; blue is within tolerance."""
    ends = [end for end in (-2.0, -5.0, -10.0) if end < -tolerance]
    lower = [0.0, *([-tolerance] if tolerance else []), *ends]
    colours = ["heat-5", *(["heat-4"] if tolerance else []), "heat-3", "heat-2", "heat-1", "heat-0"]
    names = ["0 or above", *(f"{_signed(low)} to {_signed(high)}" for high, low in pairwise(lower))]
    found = list(zip(names, lower, colours, strict=False))
    return [*found, (f"below {_signed(lower[-1])}", float("-inf"), colours[len(found)])]


def _signed(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _tile(
    group: Group, gap: Difference, ranges: list[Range], winner: tuple[float | None, Step | None]
) -> dict[str, Any]:
    interval = gap.interval()
    collapsed = any(result.collapsed for result in group.results)
    return {
        "kept": group.density,
        "density": share(group.density),
        "rewound to": str(group.rewind),
        "range": next(name for name, lower, _ in ranges if 100 * gap.mean >= lower - 1e-9),
        "text": points(gap.mean).removesuffix(" pp") + ("×" if collapsed else ""),
        "difference to dense": points(gap.mean),
        "interval": "one seed" if interval is None else brackets(interval),
        "seeds": gap.n,
        "selected": (group.sparsity, group.rewind) == winner,
    }


def _words(rows: Sequence[dict[str, Any]], marked: Sequence[dict[str, Any]]) -> str:
    cells = (
        f"Heat map of {count(len(rows), 'cell')}, densities by rewind points: validation accuracy minus that of dense."
    )
    return cells + "".join(
        f" Selected: {row['density']} density rewound to {row['rewound to']}, {row['difference to dense']}."
        for row in marked
    )
