"""The table of the page: one row a group of seeds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lth.report.summary import Group, Groups
from lth.results.estimate import Estimate
from lth.results.statistics import Difference
from lth.results.wording import brackets, points, share
from lth.spec.step import Step


@dataclass(frozen=True)
class Column:
    """A column of a table of the page; `words` are aligned to the left, and broken into lines where they are `long`."""

    name: str
    words: bool = False
    long: bool = False

    @property
    def style(self) -> str:
        """Returns the classes of its fields in the style sheet."""
        return "words long" if self.long else "words" if self.words else ""


@dataclass(frozen=True)
class Field:
    """One field: what it shows, and the number it is sorted by, if not by its text."""

    text: str
    value: float | str | None = None


@dataclass(frozen=True)
class Row:
    fields: tuple[Field, ...]
    winner: bool


COLUMNS = (
    Column("Network", words=True),
    Column("Seeds"),
    Column("Density of prunable, %"),
    Column("Density of all, %"),
    Column("Effective density, %"),
    Column("Level"),
    Column("Threshold"),
    Column("Rewound to"),
    Column("Validation accuracy, %"),
    Column("Difference to dense, pp"),
    Column("Test accuracy, %"),
    Column("Epochs"),
    Column("Remarks", words=True),
)
EMPTY = Field("", "")


def rows(
    groups: Groups, winner: tuple[float | None, Step | None], shown: Collection[str]
) -> tuple[list[Column], list[Row]]:
    """Returns the columns that hold anything, and a row for every group of seeds.

    Test accuracies stand only where all networks of a group are `shown`.
    """
    found = [
        Row(
            _fields(group, groups.to_dense(group), shown),
            winner=group.kind == "ticket" and (group.sparsity, group.rewind) == winner,
        )
        for group in groups.all()
    ]
    return used(COLUMNS, found)


def used(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Column], list[Row]]:
    """Returns the columns that hold anything, and the rows cut down to them."""
    places = [place for place in range(len(columns)) if any(row.fields[place].text for row in rows)]
    return [columns[place] for place in places], [
        Row(tuple(row.fields[place] for place in places), row.winner) for row in rows
    ]


def _fields(group: Group, gap: Difference | None, shown: Collection[str]) -> tuple[Field, ...]:
    return (
        Field(_name(group)),
        Field(str(len(group.results)), len(group.results)),
        _share(group.over(lambda result: result.density_prunable)),
        _share(group.over(lambda result: result.density_all)),
        _share(group.over(lambda result: result.density_effective)),
        EMPTY if group.level is None else Field(str(group.level), group.level),
        EMPTY if group.threshold is None else Field(f"{group.threshold:g}", group.threshold),
        Field(str(group.rewind), _moment(group)) if group.rewind is not None else EMPTY,
        _accuracy(group.validation),
        _gap(group, gap),
        _accuracy(group.over(lambda one: one.test_top1)) if all(one.id in shown for one in group.results) else EMPTY,
        _epochs(group),
        Field(_remarks(group)),
    )


def _name(group: Group) -> str:
    return f"{group.name}, fresh seeds" if group.stage == "confirmation" else group.name


def _share(found: Estimate) -> Field:
    return Field(share(found.mean).removesuffix(" %"), found.mean)


def _accuracy(found: Estimate) -> Field:
    return Field(found.words().replace(" %", ""), found.mean)


def _gap(group: Group, gap: Difference | None) -> Field:
    if group.dense or gap is None:
        return EMPTY
    interval = gap.interval()
    return Field(points(gap.mean).removesuffix(" pp") + (f" {brackets(interval)}" if interval else ""), gap.mean)


def _epochs(group: Group) -> Field:
    epochs = group.over(lambda result: result.epochs).mean
    return Field(f"{epochs:.4g}", epochs)


def _moment(group: Group) -> float:
    return group.rewind.index(group.results[0].steps_per_epoch) if group.rewind is not None else 0.0


def _remarks(group: Group) -> str:
    total = len(group.results)
    found = {
        "collapsed": sum(bool(result.collapsed) for result in group.results),
        "audit not passed": sum(not result.audit.passed for result in group.results),
        "resumed in another numerics class": sum(result.resumed_in_other_numerics for result in group.results),
    }
    return ", ".join(name if n == total else f"{name} ({n} of {total})" for name, n in found.items() if n)
