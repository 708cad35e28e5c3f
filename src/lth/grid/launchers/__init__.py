"""The launchers: each starts workers on a run directory and returns when they have ended."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from lth.grid.launchers import local, processes
from lth.grid.work import Do
from lth.runs.run import Run

Launch = Callable[[Run, Callable[[], Do], Event], None]
LAUNCHERS: dict[str, Launch] = {"local": local.launch, "processes": processes.launch}
