"""The charts of single networks: the densities of their layers, and their accuracy while they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from lth.report.chart import DENSITY_TICKS, Figure, dashed, data, density_x, finished, ordered
from lth.report.figures import CONTROL_COLOURS, CONTROL_NAMES
from lth.report.palette import ramp, var
from lth.report.summary import Groups, density_text, estimate, percent

LINES = 8
SHARES = {
    "over 50 %": 50.0,
    "20 to 50 %": 20.0,
    "5 to 20 %": 5.0,
    "1 to 5 %": 1.0,
    "0.1 to 1 %": 0.1,
    "below 0.1 %": 0.0,
    "none left": -1.0,
}


def layer_densities(groups: Groups) -> Figure | None:
    """Returns each layer's density against the overall one; None where no ticket tells.

    Up to 8 layers are lines, more are the rows of a heat map in the order of the network.
    """
    found = _layers(groups)
    names = list(dict.fromkeys(row["layer"] for row in found))
    if not found:
        return None
    low = min(found, key=lambda row: row["overall"])
    parts = [f"{row['layer']} {row['kept']}" for row in found if row["overall"] == low["overall"]]
    alt = f"Densities of {len(names)} layers against overall density. At {low['of all']}: {', '.join(parts[:LINES])}."
    chart, height = (
        (_layer_lines(found, names), 300) if len(names) <= LINES else (_layer_rows(found, names), 15 * len(names))
    )
    caption = "What the masks keep of each layer, mean over seeds. The dotted line is the overall density."
    if len(names) > LINES:
        caption = "What the masks keep of each layer, mean over seeds, in the order of the network."
    return Figure("layer-densities", "Density of each layer", caption, alt, finished(chart, alt, height))


def _layers(groups: Groups) -> list[dict[str, Any]]:
    """One row a layer and sparsity; a mask is the same at every rewind point, so that one network a seed is asked."""
    rows: list[dict[str, Any]] = []
    for _, same in groupby(sorted(groups.tickets, key=lambda group: -group.density), key=lambda group: group.sparsity):
        by_seed = {result.seed: result for group in same for result in group.results}
        overall = estimate([result.density_prunable for result in by_seed.values()]).mean
        names = list(dict.fromkeys(name for result in by_seed.values() for name in result.layer_densities))
        for name in names:
            kept = estimate([result.layer_densities.get(name, 0.0) for result in by_seed.values()]).mean
            row = {"layer": name, "overall": overall, "density": 100 * overall, "share": 100 * kept}
            rows.append(row | {"kept": density_text(kept), "of all": density_text(overall)})
    return rows


def _layer_lines(rows: Sequence[dict[str, Any]], names: list[str]) -> Any:
    import altair

    drawn = [row for row in rows if row["share"] > 0 and row["density"] > 0]
    x = density_x([row["density"] for row in drawn])
    shares = [row["share"] for row in drawn]
    scale = altair.Scale(type="log", domain=[min(shares) / 1.1, max(shares) * 1.1], nice=False)
    ticks = [tick for tick in DENSITY_TICKS if min(shares) <= tick <= max(shares)]
    y = altair.Y("share:Q", title="Kept of the layer in %", scale=scale, axis=altair.Axis(values=ticks, format="~g"))
    overall = [{"density": value, "share": value} for value in sorted({row["density"] for row in drawn})]
    dotted = (
        altair.Chart(data(overall)).mark_line(color=var("muted"), strokeDash=[1, 4], strokeWidth=2).encode(x=x, y=y)
    )
    base = altair.Chart(data(drawn)).encode(
        x=x, y=y, color=ordered("layer", names, ramp(len(names)), None, 2, "stroke")
    )
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=dashed("layer", names, 2))
    dots = base.mark_circle(size=30).encode(tooltip=["layer:N", "kept:N", "of all:N"])
    return altair.layer(dotted, lines, dots)


def _layer_rows(rows: Sequence[dict[str, Any]], names: list[str]) -> Any:
    import altair

    tiles = [
        row | {"range": next(name for name, least in SHARES.items() if row["share"] > least or least < 0)}
        for row in rows
    ]
    across = list(dict.fromkeys(row["of all"] for row in rows))
    colours = [*reversed(ramp(len(SHARES) - 1)), var("control")]
    axis = altair.Axis(ticks=False, domain=False, labelOverlap="greedy", labelAngle=0)
    return (
        altair.Chart(data(tiles))
        .mark_rect(stroke=var("surface"), strokeWidth=1)
        .encode(
            x=altair.X("of all:N", sort=across, title="Overall density", axis=axis),
            y=altair.Y(
                "layer:N",
                sort=names,
                title=None,
                axis=altair.Axis(ticks=False, domain=False, labelLimit=170, labelFontSize=10),
            ),
            color=ordered("range", list(SHARES), colours, "Kept of the layer", columns=4),
            tooltip=["layer:N", "kept:N", "of all:N"],
        )
    )


def training(arms: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]]) -> Figure | None:
    """Returns validation accuracy by epoch, one line an arm; None where nothing was recorded.

    `arms` maps "dense", "ticket" and the names of controls to the training curves of their seeds.
    """
    import altair

    curves = {_arm(name): _mean_curve(arms[name]) for name in ("dense", "ticket", *CONTROL_NAMES) if name in arms}
    curves = {name: rows for name, rows in curves.items() if rows}
    if not curves:
        return None
    colours = {"dense": var("ink"), "ticket": var("accent")} | {
        _arm(name): colour for name, colour in CONTROL_COLOURS.items()
    }
    names, floor = list(curves), _floor(list(curves.values()))
    rows = [row | {"arm": name} for name, found in curves.items() for row in found]
    y = altair.Y("accuracy:Q", title="Validation accuracy in %", scale=altair.Scale(domainMin=floor, zero=False))
    base = altair.Chart(data(rows)).encode(
        x=altair.X("epoch:Q", title="Epoch", axis=altair.Axis(grid=False)),
        color=ordered("arm", names, [colours[name] for name in names], None, 3, "stroke"),
    )
    band = base.mark_area(opacity=0.12, clip=True).encode(y=altair.Y("low:Q"), y2="high:Q")
    line = base.mark_line(strokeWidth=2, clip=True).encode(y=y, strokeDash=dashed("arm", names, 3))
    dots = base.mark_circle(size=60, opacity=0, clip=True).encode(
        y=y, tooltip=["arm:N", "epoch:Q", "validation accuracy:N", "seeds:N"]
    )
    ends = ", ".join(f"{name} {found[-1]['validation accuracy']}" for name, found in curves.items())
    alt = f"Line chart of validation accuracy by epoch. At the end: {ends}."
    cut = f" The axis starts at {floor:g} %." if floor else ""
    caption = (
        "Validation accuracy while training, mean over seeds with its 95 % interval; a ticket starts at its rewind point."
        + cut
    )
    return Figure("training", "Training curves", caption, alt, finished(altair.layer(band, line, dots), alt, 300))


def _arm(name: str) -> str:
    return CONTROL_NAMES.get(name, name)


def _mean_curve(seeds: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The mean over seeds at each moment that all of them recorded."""
    at: dict[float, list[float]] = {}
    for curve in seeds:
        for row in curve:
            if row.get("validation_top1") is not None:
                at.setdefault(float(row["epoch"]), []).append(float(row["validation_top1"]))
    whole = sum(bool(curve) for curve in seeds)
    rows: list[dict[str, Any]] = []
    for epoch in sorted(epoch for epoch, values in at.items() if len(values) == whole):
        found = estimate(at[epoch])
        low, high = (found.mean if end is None else min(max(end, 0.0), 1.0) for end in (found.low, found.high))
        ends = {"accuracy": 100 * found.mean, "low": 100 * low, "high": 100 * high}
        rows.append({"epoch": round(epoch, 4)} | ends | {"validation accuracy": percent(found.mean), "seeds": found.n})
    return rows


def _floor(curves: Sequence[Sequence[Mapping[str, Any]]]) -> float:
    """The axis starts 12 points below the worst end, in tens, so that the start of training does not flatten the rest."""
    worst = min(float(rows[-1]["accuracy"]) for rows in curves)
    return max(0.0, (worst - 12) // 10 * 10)
