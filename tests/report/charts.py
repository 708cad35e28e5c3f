"""What tests ask of a chart: whether it is valid, and the rows it holds."""

from __future__ import annotations

from typing import Any

import altair

from lth.report.chart import Figure


def valid(figure: Figure) -> None:
    """Checks the chart against Vega-Lite's schema, which leaves out the layout of legends that Vega itself takes."""
    config = figure.chart["config"]
    legends = {name: value for name, value in config["legend"].items() if name != "layout"}
    altair.LayerChart.from_dict({**figure.chart, "config": {**config, "legend": legends}})


def rows(figure: Figure | None) -> list[dict[str, Any]]:
    """Returns all rows of data of a chart that is there."""
    assert figure is not None
    return [row for values in figure.chart["datasets"].values() for row in values]
