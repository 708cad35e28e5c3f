"""How far a run has come."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lth.grid.next import wanted
from lth.grid.unit import Cell, Dense, Finish
from lth.runs.run import Run


@dataclass(frozen=True)
class Status:
    """Counts of tickets and controls known so far (later stages add theirs), and of dense networks."""

    cells: int
    done: int
    running: int
    waiting: int
    failed: int
    dense: int
    dense_done: int
    complete: bool
    failures: dict[str, str]

    def as_json(self) -> dict[str, int]:
        """Returns the five counts of cells."""
        return {
            key: value
            for key, value in asdict(self).items()
            if key in ("cells", "done", "running", "waiting", "failed")
        }


def status(run: Run) -> Status:
    """Returns the state of the run as its directory shows it now."""
    results = run.results()
    units = wanted(run.spec, results)
    cells = {unit.id for unit in units if isinstance(unit, Cell)}
    dense = [unit for unit in units if isinstance(unit, Dense)]
    done, failed = cells & results.done.keys(), cells & results.failed.keys()
    with_claim = set(run.claims().running()) if run.layout.claims.exists() else set[str]()
    running = (cells & with_claim) - done - failed
    return Status(
        cells=len(cells),
        done=len(done),
        running=len(running),
        waiting=len(cells) - len(done) - len(failed) - len(running),
        failed=len(failed),
        dense=len(dense),
        dense_done=sum(unit.id in results.done for unit in dense),
        complete=isinstance(units[-1], Finish) and units[-1].id in results.finished,
        failures={unit.id: results.failed[unit.id].message for unit in units if unit.id in results.failed},
    )
