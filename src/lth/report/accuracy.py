"""The charts of accuracy and of the early stop against density."""

from __future__ import annotations

from lth.report.chart import Figure, finished
from lth.report.density_lines import Winner, density_lines, drawable, ends
from lth.report.measure import ACCURACY, EARLY_ACCURACY, EARLY_STOP, Measure
from lth.report.summary import Groups
from lth.results.wording import share
from lth.spec.step import Step

POINTS = "Points are means over seeds, shading and bars their 95 % intervals, the grey band the dense network. "
CHOICE = "Choosing a rewind point in the legend brings it out."
STOP = "The early stop is the evaluation of least validation loss, counted from a training's own beginning; as the "
STOP += "least of a noisy curve it is itself noisy. "


def accuracy(groups: Groups, winner: Winner) -> Figure | None:
    """Returns validation accuracy against density: a line a rewind point, the dense band, the controls."""
    return _figure(groups, winner, ACCURACY, "accuracy", "Accuracy against density", POINTS + CHOICE)


def early_stop(groups: Groups, winner: Winner) -> Figure | None:
    """Returns the steps to the early stop against density; None where it is the same at every density."""
    if not _varies(groups):
        return None
    title = "How soon training could stop"
    return _figure(groups, winner, EARLY_STOP, "early-stop", title, f"{STOP}{POINTS}{CHOICE}")


def early_accuracy(groups: Groups, winner: Winner) -> Figure | None:
    """Returns validation accuracy at the early stop against density; None where that is the same step everywhere."""
    if not _varies(groups):
        return None
    title = "Accuracy at the early stop"
    return _figure(groups, winner, EARLY_ACCURACY, "early-accuracy", title, f"{POINTS}{CHOICE}")


def _varies(groups: Groups) -> bool:
    found: dict[Step | None, set[float]] = {}
    for group in groups.tickets:
        found.setdefault(group.rewind, set()).update(EARLY_STOP.value(result) for result in group.results)
    return any(len(steps) > 1 for steps in found.values())


def _figure(groups: Groups, winner: Winner, measure: Measure, name: str, title: str, caption: str) -> Figure | None:
    if not any(drawable(group) for group in groups.tickets):
        return None
    alt, cut = _words(groups, measure), ends(groups, measure)
    caption += "" if cut is None else f" The axis starts at {cut[0]:g} %; controls below are cut off."
    return Figure(name, title, caption, alt, finished(density_lines(groups, measure, winner), alt, 340))


def _words(groups: Groups, measure: Measure) -> str:
    tickets = [group for group in groups.tickets if drawable(group)]
    ends = (max(tickets, key=lambda group: group.density), min(tickets, key=lambda group: group.density))
    told = ", ".join(f"{measure.text(group.over(measure.value))} at {share(group.density)} density" for group in ends)
    dense = f" The dense network has {measure.text(groups.dense.over(measure.value))}." if groups.dense else ""
    what = measure.axis.removesuffix(" in %")
    return f"Line chart against density, one line a rewind point. {what}: {told}.{dense}"
