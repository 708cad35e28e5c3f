"""What training costs: throughput, where the time of a step goes, memory, what the GPU says of itself."""

from __future__ import annotations

import resource
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from math import floor
from statistics import median, median_low
from time import perf_counter
from typing import Any

import torch

from lth.training.gpu import readings
from lth.training.trainee import Clock, Trainee, unclocked

EVERY = 47  # one step in so many is timed; a prime, lest it falls in step with a period of the data
PARTS = ("data", "forward", "backward", "mask", "optimizer")
NEWEST = 1024  # timed steps that are remembered


@dataclass
class Stopwatch:
    """The time since the last lap; `reported` once what its networks measured was written down."""

    began: float = field(default_factory=perf_counter)
    reported: bool = False

    def lap(self) -> float:
        """Returns the seconds since the last lap."""
        now = perf_counter()
        seconds, self.began = now - self.began, now
        return seconds


@dataclass
class Tally:
    """What one network's training took: `seconds` in all (its share of the wall time), the rest since its last row."""

    trainee: Trainee
    seconds: float = 0.0
    setup: float = 0.0
    made: float = field(default_factory=perf_counter)
    watch: Stopwatch = field(default_factory=Stopwatch)
    seen: int = 0
    since: int = 0
    steps: int = 0
    training: float = 0.0
    evaluation: float = 0.0
    checkpoint: float = 0.0

    def clear(self) -> None:
        """Returns nothing; a row was written, and the next begins."""
        self.since, self.steps = self.trainee.step, 0
        self.training = self.evaluation = self.checkpoint = 0.0


class Meter:
    """The accounts of networks in lockstep. It reads clocks, and never touches their bits.

    All wall time goes to one account after the other: `trained`, `evaluated` and `saved` each book what has passed
    since the last of them. The first step, in which libraries warm up and networks are compiled, counts in the
    total seconds only. One step in `EVERY` is timed part by part, at least one an epoch and one a row.
    """

    def __init__(self, tallies: Sequence[Tally], batch_size: int, device: torch.device):
        self._tallies, self._batch_size, self._device = tallies, batch_size, device
        self._wait: Callable[[], object] = _nothing
        if device.type == "cuda":
            self._wait = partial(torch.cuda.synchronize, device)
        self._watch = Stopwatch()
        self._samples: deque[tuple[int, dict[str, float]]] = deque(maxlen=NEWEST)
        self._shares: dict[int, dict[str, Any]] = {}
        self._open: dict[str, float] | None = None
        self._step, self._began, self._last = 0, 0.0, 0.0
        self._together, self._warm, self._gpu = 0, True, dict[str, Any]()
        one = tallies[0].trainee
        self._interval = min(EVERY, one.steps_per_epoch, one.recipe.evaluate_every.index(one.steps_per_epoch))
        self._at = min(tally.trainee.step for tally in tallies) + 1
        setup = (self._watch.began - min(tally.made for tally in tallies)) / max(1, len(tallies) - 1)
        for tally in tallies:
            tally.watch, tally.setup = self._watch, setup
            tally.seen = tally.since = tally.trainee.step

    def clock_of(self, step: int) -> Clock:
        """Returns the clock of a step that is about to begin: for most of them one that does nothing."""
        return unclocked if step != self._at else self._turn(step)

    def trained(self, step: int) -> None:
        """Returns nothing; the time went into training, up to and with the step before `step`."""
        self._close()
        self._wait()
        self._shares.clear()
        self._book()
        self._together = sum(tally.trainee.step == step > tally.since for tally in self._tallies)
        if self._device.type == "cuda":
            self._gpu = readings(self._device)

    def evaluated(self, tally: Tally) -> None:
        """Returns nothing; the time went into evaluating one network."""
        seconds = self._watch.lap()
        tally.seconds += seconds
        tally.evaluation += seconds

    def saved(self, tallies: Sequence[Tally]) -> None:
        """Returns nothing; the time went into saving networks, to each the same share."""
        seconds = self._watch.lap() / max(1, len(tallies))
        for tally in tallies:
            tally.seconds += seconds
            tally.checkpoint += seconds

    def row(self, tally: Tally) -> dict[str, Any]:
        """Returns what the network's training took since its last row, as JSON values; None where nothing was timed."""
        rate = self._batch_size * tally.steps / tally.training if tally.training > 0 else None
        found = {
            "examples_per_second": None if rate is None else float(f"{rate:.4g}"),
            "tickets_together": self._together,
            **self._shares_since(tally.since),
            "evaluation_seconds": round(tally.evaluation, 4),
            "checkpoint_seconds": round(tally.checkpoint, 4),
            "peak_memory_bytes": peak_memory(self._device),
            **self._gpu,
        }
        tally.clear()
        return found

    def _turn(self, step: int) -> Clock:
        """The end of the first step, or of a timed one, and perhaps the beginning of a timed one."""
        if self._warm:
            self._book()
        self._close()
        ahead = (self._interval // 2 - step) % self._interval
        if ahead:
            self._at = step + ahead
            return unclocked
        self._at = step + 1
        self._wait()
        self._open, self._step = {}, step
        self._began = self._last = perf_counter()
        return self._part

    def _part(self, part: str) -> None:
        if self._open is not None:
            self._wait()
            now = perf_counter()
            self._open[part] = self._open.get(part, 0.0) + now - self._last
            self._last = now

    def _close(self) -> None:
        """Ends a timed step; what no part names, such as a captured graph, is in its "step" alone."""
        if self._open is not None:
            self._wait()
            self._samples.append((self._step, {**self._open, "step": perf_counter() - self._began}))
            self._open = None

    def _book(self) -> None:
        """Shares the time since the last lap among the networks, by the steps that each has taken in it."""
        seconds = self._watch.lap()
        taken = [tally.trainee.step - tally.seen for tally in self._tallies]
        for tally, steps in zip(self._tallies, taken, strict=True):
            share = seconds * steps / max(1, sum(taken))
            tally.seen, tally.seconds = tally.trainee.step, tally.seconds + share
            if not self._warm:
                tally.steps, tally.training = tally.steps + steps, tally.training + share
        self._warm = self._warm and not sum(taken)

    def _shares_since(self, since: int) -> dict[str, Any]:
        """The parts' shares of a step: medians over the timed steps, rounded down, so that they add up to 1 at most."""
        if since not in self._shares:
            timed = [parts for _, parts in takewhile(lambda sample: sample[0] >= since, reversed(self._samples))]
            parts = {part: [one[part] for one in timed if part in one] for part in PARTS}
            usual = {part: median(values) for part, values in parts.items() if values}
            rest = [max(0.0, one["step"] - sum(one.get(part, 0.0) for part in PARTS)) for one in timed]
            whole = sum(usual.values()) + median(rest or [0.0])
            shares = {f"{part}_share": _down(usual[part] / whole) if part in usual else None for part in PARTS}
            self._shares[since] = {**shares, "sampled_steps": len(timed)}
        return self._shares[since]


def _nothing() -> None:
    pass


def _down(share: float) -> float:
    return floor(share * 10_000) / 10_000


def peak_memory(device: torch.device) -> int:
    """Returns the most bytes in use at once since the process began.

    On a GPU those that torch has allocated there; on a CPU the resident memory of the whole process, data included.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def middle(rows: Sequence[dict[str, Any]], key: str) -> float | None:
    """Returns the median of `key` over the rows that have it, or None."""
    values = [row[key] for row in rows if row.get(key) is not None]
    return median(values) if values else None


def measured(rows: Sequence[dict[str, Any]], tally: Tally, batch_size: int) -> tuple[int, dict[str, Any]] | None:
    """Returns how many tickets were trained together, and what one of them took; None where nothing was timed.

    Medians over the rows. `state_bytes` is the memory of one more ticket, `overhead_seconds` the time that a
    training takes beside steps and evaluations: setting up, saving, closing. Ends the lap of the tally's watch,
    which began when the training ended.
    """
    overhead = (
        tally.setup + tally.watch.lap() + tally.checkpoint + sum(row.get("checkpoint_seconds", 0) for row in rows)
    )
    timed = [row for row in rows if row.get("examples_per_second")]
    if not timed:
        return None
    together = median_low([row["tickets_together"] for row in timed])
    same = [row for row in timed if row["tickets_together"] == together]
    trainee = tally.trainee
    state = [trainee.weights, *trainee.state.values(), *trainee.model.buffers()]
    state += [] if trainee.mask is None else [trainee.mask]
    return together, {
        "seconds_per_step": batch_size / (middle(same, "examples_per_second") or 1.0),
        "data_share": middle(same, "data_share") or 0.0,
        "evaluation_seconds": middle(same, "evaluation_seconds"),
        "overhead_seconds": round(overhead, 4),
        "state_bytes": sum(value.numel() * value.element_size() for value in state),
        "peak_memory_bytes": max(row["peak_memory_bytes"] for row in same),
    }
