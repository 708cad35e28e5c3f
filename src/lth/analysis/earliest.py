"""From which of the tested rewind points on networks are stable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lth.analysis.connectivity import Way
from lth.analysis.rows import Row
from lth.results.wording import listed, share
from lth.spec.step import Step

NAMES = {"interpolated": "batch-norm statistics interpolated", "re-estimated": "batch-norm statistics re-estimated"}


@dataclass(frozen=True)
class Earliest:
    """The earliest `tested` rewind point from which all tested ones are stable; None where the last one is not."""

    sparsity: float
    way: Way
    batch_norm: bool
    rewind: Step | None
    tested: tuple[Step, ...]

    @property
    def sentence(self) -> str:
        """Returns the finding in words."""
        network = "The dense network" if self.sparsity == 0 else f"The ticket at sparsity {share(self.sparsity)}"
        how = f", {NAMES[self.way]}" if self.batch_norm else ""
        where = "at no tested rewind point" if self.rewind is None else f"from rewind point {self.rewind} on"
        return f"{network} is stable {where} (tested: {listed(self.tested)}{how})."

    def as_json(self) -> dict[str, Any]:
        """Returns the finding as JSON values."""
        rewind = None if self.rewind is None else str(self.rewind)
        tested = [str(step) for step in self.tested]
        return {"sparsity": self.sparsity, "way": self.way, "rewind": rewind, "tested": tested}


def earliest(rows: Sequence[Row]) -> Iterator[Earliest]:
    """Yields, for each sparsity and way, where stability begins among the copies in `rows`."""
    copies = [row for row in rows if row.kind == "copies"]
    for head in {(row.sparsity, row.way): row for row in copies}.values():
        chosen = [row for row in copies if (row.sparsity, row.way) == (head.sparsity, head.way)]
        chosen.sort(key=lambda row: row.at_step)
        unstable = [number for number, row in enumerate(chosen) if not row.stable]
        first = unstable[-1] + 1 if unstable else 0
        rewind = chosen[first].rewind if first < len(chosen) else None
        yield Earliest(head.sparsity, head.way, head.batch_norm, rewind, tuple(row.rewind for row in chosen))
