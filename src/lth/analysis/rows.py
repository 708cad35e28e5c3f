"""Barriers over seeds: means with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from lth.analysis.connectivity import PARTS, STABLE, Way
from lth.analysis.measurement import Measured
from lth.analysis.pairs import Kind
from lth.data.loader import Part
from lth.results.estimate import Estimate, estimate
from lth.spec.step import Step


@dataclass(frozen=True)
class Row:
    """The barriers of one sparsity and rewind point over seeds, with the batch-norm statistics taken one `way`.

    Instability is a fraction of error, the loss barrier in nats, by part of the data; `signs` the share of equal
    signs. `level` is the later of two levels. Without batch norm both ways are the same.
    """

    kind: Kind
    sparsity: float
    level: int | None
    rewind: Step
    at_step: int
    way: Way
    batch_norm: bool
    seeds: tuple[int, ...]
    instability: Mapping[Part, Estimate]
    loss_barrier: Mapping[Part, Estimate]
    signs: Estimate

    @property
    def stable(self) -> bool:
        """Returns whether the mean instability is below 2 % on the training and on the test data."""
        return max(self.instability[part].mean for part in ("train", "test")) < STABLE

    def as_json(self) -> dict[str, Any]:
        """Returns the row as JSON values, the verdict with it."""
        return {**asdict(self), "rewind": str(self.rewind), "stable": self.stable}


def rows(measured: Sequence[Measured], ways: Sequence[Way]) -> Iterator[Row]:
    """Yields a row for each kind, sparsity, rewind point and way; `measured` stand in the order of their pairs."""
    for _, group in groupby(measured, key=lambda one: one.pair.order[:3]):
        found = list(group)
        norms = found[0].barrier.batch_norm
        yield from (_row(found, way) for way in (ways if norms else ways[:1]))


def _row(found: Sequence[Measured], way: Way) -> Row:
    pair, lines = found[0].pair, [one.barrier.lines[way] for one in found]
    second = pair.second
    sizes = {"train": second.train_examples, "validation": second.validation_examples, "test": second.test_examples}
    return Row(
        kind=pair.kind,
        sparsity=pair.sparsity,
        level=second.level,
        rewind=pair.rewind,
        at_step=pair.rewind.index(second.steps_per_epoch),
        way=way,
        batch_norm=found[0].barrier.batch_norm,
        seeds=tuple(one.pair.second.seed for one in found),
        instability={part: estimate((line[part].instability for line in lines), 1 / sizes[part]) for part in PARTS},
        loss_barrier={part: estimate(line[part].loss_barrier for line in lines) for part in PARTS},
        signs=estimate(one.signs for one in found),
    )
