"""Deaths: units whose worker was killed, and those that kill it each time."""

from __future__ import annotations

from pathlib import Path

from lth.errors import LthError
from lth.runs.attempt import new_attempt
from lth.runs.claim import Owner
from lth.runs.files import make_folder, publish_first, read_json
from lth.runs.known import DAMAGED
from lth.runs.layout import previous
from lth.runs.records import Death, Failure
from lth.runs.run import Run, now


def note_death(run: Run, unit_id: str, folder: str, owner: Owner) -> bool:
    """Returns whether the unit is given up: its worker died twice, with nothing saved in between.

    The death is written as the next `died-<n>.json` of the unit, beside what was saved last. Call it while
    holding the claim of the unit. A unit whose workers die after each save gets on, and is never given up.
    """
    unit = make_folder(run.path / folder)
    number, saved = 1, last_saved(run, folder)
    while (path := unit / f"died-{number}.json").exists():
        number += 1
    before = Death.model_validate(read_json(unit / f"died-{number - 1}.json", DAMAGED)) if number > 1 else None
    death = Death(id=unit_id, host=owner.host, pid=owner.pid, saved_ns=saved, noticed_at=now())
    publish_first(path, death.model_dump_json(indent=1) + "\n")
    if before is None or before.saved_ns != saved:
        return False
    run.fail(folder, _failure(unit, death))
    return True


def last_saved(run: Run, folder: str) -> int:
    """Returns when the state of a unit was last saved, in nanoseconds by the file server's clock; 0 for never."""
    saved = run.layout.resume(folder)
    return max((path.stat().st_mtime_ns for path in (saved, previous(saved)) if path.exists()), default=0)


def _failure(unit: Path, death: Death) -> Failure:
    cure = f"See the workers' logs and the system's (often memory ran out); delete {unit} to have it done again."
    problem = LthError("its worker was killed twice, with nothing saved in between", at=death.id, cure=cure)
    return Failure(
        id=death.id,
        error="WorkerDied",
        message=str(problem),
        final=True,
        attempt=new_attempt(),
        host=death.host,
        failed_at=death.noticed_at,
    )
