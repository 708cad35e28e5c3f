"""The charts of single networks: the densities of their layers, and their accuracy while they train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lth.report.chart import Figure, dashed, data, density_x, finished, log_ticks, ordered
from lth.report.palette import mark, ramp, var
from lth.report.summary import Groups, title
from lth.results.estimate import estimate
from lth.results.wording import count, share
from lth.runs.records import CellResult
from lth.spec.step import Step
from lth.spec.variants import VARIANTS

LINES = 8
SHADED = 4  # curves; more of them shade only two
SHARES = {
    "over 50 %": 50.0,
    "20 to 50 %": 20.0,
    "5 to 20 %": 5.0,
    "1 to 5 %": 1.0,
    "0.1 to 1 %": 0.1,
    "below 0.1 %": 0.0,
    "none left": -1.0,
}
Curve = Sequence[Mapping[str, Any]]


def layer_densities(groups: Groups) -> Figure | None:
    """Returns each layer's density against the overall one; None where no ticket tells.

    Up to 8 layers are lines, more are the rows of a heat map in the order of the network.
    """
    found = _layers(groups)
    names = list(dict.fromkeys(row["layer"] for row in found))
    if not found:
        return None
    least = min(row["density"] for row in found)
    parts = [f"{row['layer']} {row['kept']}" for row in found if row["density"] == least]
    alt = f"Densities of {count(len(names), 'layer')} against overall density. "
    alt += f"At {share(least / 100)}: {', '.join(parts[:LINES])}."
    caption = "What the masks keep of each prunable layer, mean over seeds"
    drawn = [row for row in found if row["share"] > 0 and row["density"] > 0]
    if len(names) > LINES or not drawn:
        chart = finished(_layer_rows(found, names), alt, 15 * len(names))
        return Figure(
            "layer-densities", "Density of each layer", f"{caption}, in the order of the network.", alt, chart
        )
    chart = finished(_layer_lines(drawn, names), alt, 300)
    return Figure("layer-densities", "Density of each layer", f"{caption}; dotted, the overall density.", alt, chart)


def _layers(groups: Groups) -> list[dict[str, Any]]:
    """One row a layer and sparsity. A one-shot mask is the same at every rewind point: one network a seed is asked."""
    masks: dict[float, dict[tuple[int, Step | None], CellResult]] = {}
    for group in groups.tickets:
        moment = group.rewind if groups.spec.iterative else None
        found = {(result.seed, moment): result for result in group.results}
        masks.setdefault(group.sparsity or 0.0, {}).update(found)
    rows: list[dict[str, Any]] = []
    for _, by_seed in sorted(masks.items()):
        found = list(by_seed.values())
        overall = estimate([result.density_prunable for result in found]).mean
        for name in dict.fromkeys(name for result in found for name in result.layer_densities):
            kept = estimate([result.layer_densities.get(name, 0.0) for result in found]).mean
            row = {"layer": name, "density": 100 * overall, "share": 100 * kept}
            rows.append(row | {"kept": share(kept), "of all prunable": share(overall)})
    return rows


def _layer_lines(rows: Sequence[dict[str, Any]], names: list[str]) -> Any:
    import altair

    densities, shares = {row["density"] for row in rows}, [row["share"] for row in rows]
    x = density_x(sorted(densities))
    scale = altair.Scale(type="log", domain=[min(shares) / 1.1, max(shares) * 1.1], nice=False)
    y = altair.Y(
        "share:Q",
        title="Kept of the layer in %",
        scale=scale,
        axis=altair.Axis(values=log_ticks(min(shares), max(shares)), format="~g"),
    )
    overall = data([{"density": density, "share": density} for density in sorted(densities)])
    look: dict[str, Any] = {"color": var("muted"), "strokeDash": [1, 4], "strokeWidth": 2, "clip": True}
    dotted = altair.Chart(overall).mark_line(**look).encode(x=x, y=y)
    colour = ordered("layer", names, ramp(len(names)), None, 2, "stroke")
    base = altair.Chart(data(rows)).encode(x=x, y=y, color=colour)
    lines = base.mark_line(strokeWidth=2).encode(strokeDash=dashed("layer", names, 2))
    return altair.layer(
        dotted, lines, base.mark_circle(size=30).encode(tooltip=["layer:N", "kept:N", "of all prunable:N"])
    )


def _layer_rows(rows: Sequence[dict[str, Any]], names: list[str]) -> Any:
    import altair

    tiles = [row | {"range": _range(row["share"])} for row in rows]
    across = list(dict.fromkeys(row["of all prunable"] for row in rows))
    colours = [*reversed(ramp(len(SHARES) - 1)), var("control")]
    bare: dict[str, Any] = {"ticks": False, "domain": False}
    below = altair.Axis(labelOverlap="greedy", labelAngle=0, title="Density over prunable weights", **bare)
    return (
        altair.Chart(data(tiles))
        .mark_rect(stroke=var("surface"), strokeWidth=1)
        .encode(
            x=altair.X("of all prunable:N", sort=across, axis=below),
            y=altair.Y("layer:N", sort=names, axis=altair.Axis(title=None, labelLimit=150, labelFontSize=10, **bare)),
            color=ordered("range", list(SHARES), colours, "Kept of the layer", columns=2),
            tooltip=["layer:N", "kept:N", "of all prunable:N"],
        )
    )


def _range(percentage: float) -> str:
    return next(name for name, least in SHARES.items() if percentage > least)


def training(arms: Mapping[str, Sequence[Curve]]) -> Figure | None:
    """Returns validation accuracy by epoch, one line an arm; None where nothing was recorded.

    `arms` maps "dense", "ticket" and the names of controls to the training curves of their seeds.
    """
    names = {"dense": "dense", "ticket": "ticket", **{name: title(name) for name in VARIANTS}}
    colours = {"dense": var("ink"), "ticket": var("accent"), **{name: mark(name)[0] for name in VARIANTS}}
    found = {name: mean_curve(arms[name]) for name in names if name in arms}
    curves = {name: rows for name, rows in found.items() if rows}
    if not curves:
        return None
    floor = _floor(list(curves.values()))
    rows = [row | {"network": names[name]} for name, curve in curves.items() for row in curve]
    chart = _training(rows, [names[name] for name in curves], [colours[name] for name in curves], floor)
    ends = ", ".join(f"{names[name]} {curve[-1]['accuracy']}" for name, curve in curves.items())
    alt = f"Line chart of validation accuracy by epoch. At the end: {ends}."
    caption = "Validation accuracy while training, means over seeds with 95 % intervals"
    caption += " of dense and ticket." if len(curves) > SHADED else "."
    caption += f" The axis starts at {floor:g} %." if floor else ""
    return Figure("training", "Training curves", caption, alt, finished(chart, alt, 300))


def _training(rows: Sequence[dict[str, Any]], names: list[str], colours: list[str], floor: float) -> Any:
    import altair

    y = altair.Y("mean:Q", title="Validation accuracy in %", scale=altair.Scale(domainMin=floor, zero=False))
    base = altair.Chart(data(rows)).encode(
        x=altair.X("epoch:Q", title="Epoch", axis=altair.Axis(grid=False)),
        color=ordered("network", names, colours, None, 2, "stroke"),
    )
    band = base.mark_area(opacity=0.12, clip=True).encode(y="low:Q", y2="high:Q")
    if len(names) > SHADED:
        band = band.transform_filter(altair.FieldOneOfPredicate("network", ["dense", "ticket"]))
    line = base.mark_line(strokeWidth=2, clip=True).encode(y=y, strokeDash=dashed("network", names, 2))
    hints = ["network:N", "epoch:Q", "accuracy:N", "seeds:N"]
    return altair.layer(band, line, base.mark_circle(size=60, opacity=0, clip=True).encode(y=y, tooltip=hints))


def mean_curve(seeds: Sequence[Curve]) -> list[dict[str, Any]]:
    """Returns the mean over seeds, in percent, at each moment that all of those with a curve recorded."""
    at: dict[float, list[float]] = {}
    for curve in seeds:
        for row in curve:
            if row.get("validation_top1") is not None:
                at.setdefault(round(float(row["epoch"]), 4), []).append(float(row["validation_top1"]))
    recorded = sum(bool(curve) for curve in seeds)
    rows: list[dict[str, Any]] = []
    for epoch in sorted(epoch for epoch, values in at.items() if len(values) == recorded):
        found = estimate(at[epoch])
        low, high = found.ends
        ends = {"mean": 100 * found.mean, "low": 100 * low, "high": 100 * high}
        rows.append({"epoch": epoch} | ends | {"accuracy": found.words(), "seeds": found.n})
    return rows


def _floor(curves: Sequence[Curve]) -> float:
    """Where the axis starts: 12 points below the worst end, in tens, lest the first epochs flatten the rest."""
    worst = min(float(rows[-1]["mean"]) for rows in curves)
    return max(0.0, (worst - 12) // 10 * 10)
