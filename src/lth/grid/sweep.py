"""What workers that were killed left behind, cleared by the ones that come after."""

from __future__ import annotations

import os
from pathlib import Path

from lth.grid.next import wanted
from lth.runs.attempt import tidy
from lth.runs.claim import Claims
from lth.runs.files import read_json
from lth.runs.known import DAMAGED
from lth.runs.layout import UNIT_FOLDERS
from lth.runs.names import clear_temporaries
from lth.runs.run import Run


def sweep(run: Run, claims: Claims) -> None:
    """Returns nothing; clears what dead workers left: claims on units that they had published, with what lies in the
    folders of those units, and unfinished files beside the units."""
    claims.sweep()
    run.told.look_everywhere()
    results = run.told.results()
    left = claims.listed()
    for unit in [unit for unit in wanted(run.spec, results) if unit.id in left and results.settled(unit.id)]:
        if claims.take(unit.id):
            claims.dead.pop(unit.id, None)
            path = run.layout.result(unit.folder)
            tidy(path.parent, read_json(path, DAMAGED).get("attempt") if path.exists() else None)
            claims.release(unit.id)
    clear_temporaries(run.path)
    for name in set(os.listdir(run.path)) - {*UNIT_FOLDERS[:2], "claims", "logs"}:
        for folder, _, _ in os.walk(run.path / name):
            clear_temporaries(Path(folder))
