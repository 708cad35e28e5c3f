"""One rewind point tried: its units trained in the run, its barrier measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from lth.analysis.bisection import Probe, probing
from lth.analysis.connectivity import Way
from lth.analysis.measurement import measure
from lth.analysis.pairs import Pair, pairs
from lth.analysis.stability import cache_of
from lth.errors import LthError, RunError
from lth.experiment import doers
from lth.grid.next import wanted
from lth.grid.unit import Dense, Finish
from lth.grid.work import Do, loop
from lth.runs.records import Results
from lth.runs.run import Run
from lth.spec.step import Step
from lth.training.workspace import Workspace


class Enough(Event):
    """An event that is set as soon as `reached` says so: what a selection would ask for next is not trained."""

    def __init__(self, reached: Callable[[], bool]):
        super().__init__()
        self.reached = reached

    def is_set(self) -> bool:
        """Returns whether it is."""
        return self.reached()


class Prober:
    """Tries rewind points of the ticket of one sparsity and seed, in this process; what it trains stays in the run.

    Raises RunError where the seed's dense network is not trained yet.
    """

    def __init__(self, run: Run, sparsity: float, seed: int, points: int, ways: Sequence[Way], stop: Event):
        self.run, self.sparsity, self.seed, self.points, self.ways, self.stop = run, sparsity, seed, points, ways, stop
        dense = run.results().done.get(Dense(seed).id)
        if dense is None:
            cure = "Train it with `lth run`, or name another --seed."
            raise RunError("the dense network of the seed is not trained yet", at=run.path, value=seed, cure=cure)
        self.steps_per_epoch, self.last = dense.steps_per_epoch, dense.last_step
        self.work, self.cache = Workspace(run, stop), cache_of(run)
        self._do: Do | None = None

    def step(self, text: str | None, default: int, at: str) -> int:
        """Returns the number of steps that `text` means; raises LthError where it is no moment before the end."""
        if text is None:
            return default
        try:
            step = Step.parse(text).index(self.steps_per_epoch)
        except ValueError as problem:
            raise LthError(str(problem), at=at, value=text) from None
        if step >= self.last:
            what = f"not before the end of training, step {self.last}"
            raise LthError(what, at=at, value=text, cure="Take an earlier moment.")
        return step

    def probe(self, step: int) -> Probe:
        """Returns the rewind point at `step` with its instability: the largest on the training and the test data, and
        over what becomes of batch-norm statistics.

        Raises RunError where its networks cannot be trained, KeyboardInterrupt where it was stopped on the way.
        """
        moment = self._moment(step)
        pair = self._trained(moment)
        lines = measure(self.work, self.cache, pair, self.points, self.ways).barrier
        worst = max(lines.instability(way, part) for way in self.ways for part in ("train", "test"))
        return Probe(step, moment, worst)

    def _moment(self, step: int) -> Step:
        """As a ticket that is there has it written: "64it" may be the run's word for "2ep"."""
        known = [one.rewind for one in self.run.results().done.values() if one.rewind is not None]
        same = [moment for moment in known if moment.index(self.steps_per_epoch) == step]
        return same[0] if same else Step(0, step).canonical(self.steps_per_epoch)

    def _trained(self, moment: Step) -> Pair:
        here = Run(self.run.path, probing(self.run.spec, self.sparsity, moment, self.seed))
        if self._do is None:
            self._do = {kind: do for kind, do in doers(here, self.stop).items() if kind is not Finish}
        loop(here, self._do, Enough(lambda: self.stop.is_set() or self._pair(here, moment) is not None))
        if (found := self._pair(here, moment)) is not None:
            return found
        if self.stop.is_set():
            raise KeyboardInterrupt
        missing = self._missing(here, here.results())
        raise RunError(missing, at=self.run.path, cure="Run the same command again later.")

    def _pair(self, here: Run, moment: Step) -> Pair | None:
        wanted = "copies", self.sparsity, moment, self.seed
        for pair in pairs(here.results()):
            if (pair.kind, pair.sparsity, pair.rewind, pair.second.seed) == wanted:
                return pair
        return None

    def _missing(self, here: Run, results: Results) -> str:
        units = [unit.id for unit in wanted(here.spec, results) if not isinstance(unit, Finish)]
        for name in units:
            if name in results.failed:
                return f"{name} failed: {results.failed[name].message}"
        waiting = [name for name in units if not results.settled(name)]
        return f"another worker is at {waiting[0]}" if waiting else "the copy is not there"
