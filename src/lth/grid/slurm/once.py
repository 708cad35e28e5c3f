"""One submission at a time: two commands at the same moment submit what is missing once."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lth.runs.claim import Claims
from lth.runs.run import Run

log = logging.getLogger("lth")
SUBMISSION = "submission"
LOOK_SECONDS = 0.2


@contextmanager
def alone(run: Run) -> Iterator[None]:
    """Lends the right to look at the queue and to submit, to one command or worker at a time, on whatever machine.

    It is a claim like that on a unit: whose holder has died falls, at once on its own host and after two minutes
    elsewhere. Whoever comes second finds in the queue what the first one submitted.
    """
    with Claims(run.layout.slurm / "submitting") as claims:
        told = False
        while not claims.take(SUBMISSION):
            if not told:
                log.warning("another lth is submitting jobs of %s: waiting for it", run.path)
                told = True
            time.sleep(LOOK_SECONDS)
        yield
