"""The launchers: each starts workers on a run directory and returns when they have ended."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from lth.grid.launchers import local, mpi, processes, slurm, spark, spark_group, template
from lth.grid.work import Do
from lth.runs.run import Run

Launch = Callable[[Run, Callable[[], Do], Event], None]
Submit = Callable[[Run, bool], list[str]]
LAUNCHERS: dict[str, Launch] = {
    "local": local.launch,
    "processes": processes.launch,
    "mpi": mpi.launch,
    "spark": spark.launch,
}

# What trains dense networks with several processes each, where it is not `group.train` on this machine.
GROUPS: dict[str, Callable[[Run, Event], None]] = {"spark": spark_group.train}

# These hand the work to a scheduler and return at once, with what to tell the user; given True they only write scripts.
SUBMITTERS: dict[str, Submit] = {"slurm": slurm.submit, "template": template.submit}
