"""The event at which workers end: a signal, or the end of the walltime."""

from __future__ import annotations

import logging
import os
import time
from threading import Event

from lth.errors import RunError

log = logging.getLogger("lth")

JOB_END = "SLURM_JOB_END_TIME"
SAVES = 3  # a margin has room for so many of the longest saves seen
LEAST_SECONDS = 5.0
LARGEST_SHARE = 0.1


class Stop(Event):
    """An event that a signal sets, or that sets itself when too little of the walltime is left.

    `is_set` does so two margins before the end, since nothing new should begin then, and at once where the walltime is
    `too_short`; `urgent`, which a training in progress asks after each step, one margin before. A margin is three
    times the longest save seen, at least 5 s, at most a tenth of the walltime. Without `seconds` there is no walltime.
    """

    def __init__(self, seconds: float | None = None):
        super().__init__()
        self.walltime, self._began, self.longest_save = seconds, time.monotonic(), 0.0
        self.start_up = 0.0  # seconds from the start of a worker to its first step, as measured before
        self.first_step: float | None = None  # the same of this worker, once it has trained
        self.warned = False  # that the time ends: what is left is for a job that follows

    def is_set(self) -> bool:
        """Returns whether a worker is to begin nothing more."""
        if not super().is_set() and self.first_step is None and self.too_short():
            self.set()
            told = "%.0f s are too short to begin: a start takes %.0f s here, and %.0f s are kept free for saving"
            log.error(told, self.walltime, self.start_up, 2 * self.margin())
        return self._over(2)

    def urgent(self) -> bool:
        """Returns whether a training in progress is to be saved now."""
        if self.first_step is None:
            self.first_step = time.monotonic() - self._began
        return self._over(1)

    def saved(self, seconds: float) -> None:
        """Returns nothing; a save took so long."""
        self.longest_save = max(self.longest_save, seconds)

    def warn(self) -> None:
        """Returns nothing; sets the event, because the time ends."""
        self.warned = True
        self.set()

    def margin(self) -> float:
        """Returns the seconds kept free for saving."""
        return min(max(SAVES * self.longest_save, LEAST_SECONDS), LARGEST_SHARE * (self.walltime or 0.0))

    def too_short(self) -> bool:
        """Returns whether the walltime does not cover a start and two margins; a next job would fare no better."""
        return self.walltime is not None and 0 < self.start_up >= self.walltime - 2 * self.margin()

    def _over(self, margins: int) -> bool:
        if self.walltime is not None and not super().is_set():
            left = self._began + self.walltime - time.monotonic()
            if left <= margins * self.margin():
                self.warn()
                log.warning("the walltime ends in %.1f s: this worker saves its work and ends", max(left, 0.0))
        return super().is_set()


def walltime(minutes: float | None) -> float | None:
    """Returns the seconds that are left: `minutes`, or until the end of the SLURM job where that is earlier.

    None where neither is known. Raises RunError where SLURM_JOB_END_TIME is not a number of seconds since 1970.
    """
    known = [] if minutes is None else [60 * minutes]
    end = os.environ.get(JOB_END, "")
    if end and not end.isdigit():
        cure = f"Unset it, or give seconds since 1970: {JOB_END}=$(date -d 'next hour' +%s)"
        raise RunError("not a time in seconds since 1970", at=JOB_END, value=end, cure=cure)
    if end:
        known.append(max(0.0, int(end) - time.time()))
    return min(known, default=None)
