"""The launchers: each starts workers on a run directory.

`LAUNCHERS` return when the workers have ended. `SUBMITTERS` hand jobs to a scheduler and return at once the lines
to tell the user; with True they write their scripts and submit nothing. `CANCELLERS` take jobs back.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from lth.grid.launchers import local, processes, template
from lth.grid.work import Do
from lth.runs.run import Run

Launch = Callable[[Run, Callable[[], Do], Event], None]
LAUNCHERS: dict[str, Launch] = {"local": local.launch, "processes": processes.launch}
SUBMITTERS: dict[str, Callable[[Run, bool], list[str]]] = {"template": template.submit}
CANCELLERS: dict[str, Callable[[Run], list[str]]] = {"template": template.cancel}
