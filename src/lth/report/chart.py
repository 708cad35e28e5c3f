"""What all charts of the report share: the record of a figure, the axes, the look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lth.report.palette import ramp, var

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
FINE_TICKS = (100, 80, 65, 50, 35, 25, 18, 12, 8, 5, 3, 2, 1)
COARSE_TICKS = (100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
DENSITY = "Density over prunable weights in %"
PRINT_WIDTH = 640
DASHES = ([1, 0], [7, 3], [2, 2], [8, 3, 2, 3], [4, 2], [10, 4], [1, 3], [6, 2, 1, 2])


@dataclass(frozen=True)
class Figure:
    """A chart of the page and its PDF: `chart` is the Vega-Lite object, `alt` says in words what it shows.

    Narrower than `least` pixels it is not drawn; a small screen scrolls it sideways instead.
    """

    name: str
    title: str
    caption: str
    alt: str
    chart: dict[str, Any]
    least: int = 0


def finished(chart: Any, alt: str, height: int) -> dict[str, Any]:
    """Returns the Vega-Lite object of an Altair chart, as wide as its container, in the look of the report."""
    value = chart.properties(width="container", height=height).to_dict(validate=False)
    value.pop("$schema", None)
    return {
        **value,
        "description": alt,
        "background": "transparent",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": _look(),
    }


def for_print(chart: dict[str, Any]) -> dict[str, Any]:
    """Returns the chart at a fixed width on white, for a PDF; its colours still have their names."""
    return {**chart, "width": PRINT_WIDTH, "background": "#ffffff", "padding": 8}


def _look() -> dict[str, Any]:
    text = {
        "labelColor": var("muted"),
        "titleColor": var("ink"),
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
    }
    return {
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            **text,
            "domainColor": var("rule"),
            "tickColor": var("rule"),
            "gridColor": var("faint"),
            "titlePadding": 8,
        },
        "legend": {
            **text,
            "labelColor": var("ink"),
            "orient": "top",
            "direction": "horizontal",
            "titleAnchor": "start",
            "symbolStrokeWidth": 2.5,
            "symbolSize": 110,
            "columnPadding": 9,
            "offset": 8,
            "labelLimit": 280,
            "layout": {"top": {"direction": "vertical", "anchor": "start"}},
        },
        "text": {"font": FONT},
    }


def data(rows: Sequence[dict[str, Any]]) -> Any:
    """Returns the rows as inline data of a chart."""
    import altair

    return altair.InlineData(values=list(rows))


def density_x(densities: Sequence[float]) -> Any:
    """Returns the x channel for the field `density` in percent: logarithmic, dense at the left, readable ticks."""
    import altair

    low, high = min(densities), max(densities)
    return altair.X(
        "density:Q",
        scale=altair.Scale(type="log", domain=[high * 1.06, low / 1.06], nice=False),
        axis=altair.Axis(
            values=log_ticks(low, high), format="~g", title=DENSITY, grid=False, labelFlush=False, labelOverlap="greedy"
        ),
    )


def log_ticks(low: float, high: float) -> list[float]:
    """Returns round percentages between `low` and `high` for a logarithmic axis; `low` alone where there are none."""
    ticks = FINE_TICKS if high < 60 * low and low >= 0.9 else COARSE_TICKS
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001] or [low]


def legend(title: str | None, columns: int = 0, symbol: str | None = None) -> Any:
    """Returns a legend with full-strength symbols, `columns` of them in a line where it is not 0."""
    import altair

    given: dict[str, Any] = {"columns": columns} if columns else {}
    if symbol is not None:
        given["symbolType"] = symbol
    return altair.Legend(title=title, titleLimit=0, symbolOpacity=1, **given)


def ordered(
    field: str,
    domain: Sequence[str],
    colours: Sequence[str],
    title: str | None,
    columns: int = 0,
    symbol: str | None = None,
) -> Any:
    """Returns the colour channel of a field with named values, its legend in that order."""
    import altair

    scale = altair.Scale(domain=list(domain), range=list(colours))
    return altair.Color(f"{field}:N", sort=None, scale=scale, legend=legend(title, columns, symbol))


def dashed(field: str, domain: Sequence[str], columns: int) -> Any:
    """Returns the dash channel of a field with named values; its legend is that of the colours."""
    import altair

    scale = altair.Scale(domain=list(domain), range=[DASHES[place % len(DASHES)] for place in range(len(domain))])
    return altair.StrokeDash(f"{field}:N", sort=None, scale=scale, legend=legend(None, columns, "stroke"))


def rewinds(names: Sequence[str]) -> Any:
    """Returns the colour channel of the field `rewound to`, along the ramp."""
    return ordered("rewound to", names, ramp(len(names)), "Rewound to", 5, "stroke")


def label(base: Any, right: bool = True, **place: Any) -> list[Any]:
    """Returns the layers of the field `text` on a rim of the background, at the right end of the chart or not."""
    import altair

    style: dict[str, Any] = {"fontSize": 12, **({"align": "right", "dx": -4} if right else {}), **place}
    where = {"x": altair.value("width")} if right else {}
    rim = base.mark_text(stroke=var("surface"), strokeWidth=4, strokeJoin="round", fill=var("surface"), **style)
    return [
        rim.encode(text="text:N", **where),
        base.mark_text(color=var("ink"), **style).encode(text="text:N", **where),
    ]
