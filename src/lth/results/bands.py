"""Bands: what a paper reports, how far from it a reproduction may lie, and whether a run does."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from lth.results.estimate import Estimate
from lth.results.index import index, progress
from lth.results.measures import MEASURES, Question
from lth.results.wording import listed
from lth.runs.records import CellResult, Results
from lth.spec.recipe import Section
from lth.spec.schema import Spec

Verdict = Literal["inside", "outside", "incomplete"]


class Band(Section):
    """One row of what is expected: `low` <= the measure of the networks `of` (beside `beside`) <= `high`.

    Networks are named as in a run directory, without their seed: "dense", "l07-r0", "s0.9-r6ep-reinit". `paper` is
    what the `source` reports, in its words. Shares are fractions. `scales` restricts it to these, () holds at all.
    """

    what: str
    measure: str
    of: tuple[str, ...] = Field(min_length=1)
    beside: str = ""
    densities: tuple[float, ...] = ()
    paper: str
    low: float | None = None
    high: float | None = None
    source: str
    scales: tuple[str, ...] = ()

    @field_validator("of", mode="before")
    @classmethod
    def _one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        assert self.measure in MEASURES, self.measure
        assert self.low is not None or self.high is not None, self.what
        assert len(self.densities) in (0, len(self.of)), self.what
        return self

    def holds(self, value: float) -> bool:
        """Returns whether the value lies inside, ends included."""
        low, high = (-math.inf if self.low is None else self.low), (math.inf if self.high is None else self.high)
        return low <= value <= high


@dataclass(frozen=True)
class Row:
    """A band and what a run says to it; `ours` is None while networks are missing, and `note` says which, or what is
    unsound."""

    band: Band
    verdict: Verdict
    ours: Estimate | None = None
    note: str = ""


def bands(name: str, scale: str) -> tuple[Band, ...]:
    """Returns the bands of the published experiment `name` that hold at this scale."""
    text = files("lth.results").joinpath("bands", f"{name.replace('-', '_')}.toml").read_text(encoding="utf-8")
    found = [Band.model_validate(one) for one in tomllib.loads(text)["bands"]]
    return tuple(band for band in found if not band.scales or scale in band.scales)


def rows(expected: Sequence[Band], spec: Spec, results: Results) -> tuple[Row, ...]:
    """Returns a row for each band, in their order.

    Inside or outside is decided by the mean over `spec.seeds`; the interval says how sure it is. What is read from
    the test set waits until the whole grid is done. A network whose audit failed puts its rows outside.
    """
    whole = progress(spec, index(spec, results)).complete
    return tuple(_row(band, spec, results, whole) for band in expected)


def outcome(found: Sequence[Row]) -> Verdict:
    """Returns "incomplete" where any row is, else "outside" where any row is, else "inside"."""
    verdicts = {row.verdict for row in found}
    return "incomplete" if "incomplete" in verdicts else "outside" if "outside" in verdicts else "inside"


def _row(band: Band, spec: Spec, results: Results, whole: bool) -> Row:
    measure = MEASURES[band.measure]
    if lacking := list(_lacking(band, spec, results)):
        more = f" and {len(lacking) - 2} more" if len(lacking) > 2 else ""
        return Row(band, "incomplete", note=f"not there: {listed(lacking[:2])}{more}")
    if measure.test and not whole:
        return Row(band, "incomplete", note="test accuracies wait for the whole grid")

    def trained(name: str) -> list[CellResult]:
        return [results.done[unit(name, seed)] for seed in spec.seeds]

    ours = measure.take(Question(band.of, band.beside, band.densities, trained))
    broken = [one.id for name in _networks(band) for one in trained(name) if not one.audit.passed]
    if broken:
        return Row(band, "outside", ours, f"audit not passed: {listed(broken[:3])}")
    return Row(band, "inside" if band.holds(ours.mean) else "outside", ours)


def unit(name: str, seed: int) -> str:
    """Returns the id of the network of a seed: "l07-r0-reinit" -> "l07-r0-seed2-reinit"."""
    if name == "dense":
        return f"dense-seed{seed}"
    level, moment, *control = name.split("-", 2)
    return "-".join([level, moment, f"seed{seed}", *control])


def _networks(band: Band) -> tuple[str, ...]:
    return (*band.of, band.beside) if band.beside else band.of


def _lacking(band: Band, spec: Spec, results: Results) -> Iterator[str]:
    """The networks that are not trained, and test accuracies at early stop that were not taken."""
    early = band.measure in ("early_stop_accuracy", "early_stop_difference", "density_at_dense_level")
    for name in _networks(band):
        for seed in spec.seeds:
            one = unit(name, seed)
            if one not in results.done:
                yield f"{one} (failed)" if one in results.failed else one
            elif early and results.done[one].early_stop_test_top1 is None:
                yield f"test accuracy at early stop of {one} (set train.test_every)"
