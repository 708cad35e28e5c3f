"""The earliest stable rewind point by bisection over the steps of training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from lth.analysis.connectivity import STABLE
from lth.errors import LthError
from lth.results.wording import count, listed, percent, share, size
from lth.spec.schema import Spec
from lth.spec.step import Step

NEAR = 0.005


@dataclass(frozen=True)
class Probe:
    """A rewind point tried, `step` optimizer steps from the start, and the instability of its two copies."""

    step: int
    moment: Step
    instability: float

    @property
    def stable(self) -> bool:
        """Returns whether the instability is below 2 %."""
        return self.instability < STABLE

    @property
    def line(self) -> str:
        """Returns the probe in words."""
        verdict = "stable" if self.stable else "not stable"
        return f"rewind to {self.moment} (step {self.step}): instability {percent(self.instability)}, {verdict}"


@dataclass(frozen=True)
class Bisection:
    """The probes in the order they were made, ended at `resolution` steps between the last two neighbours."""

    probes: tuple[Probe, ...]
    resolution: int

    @property
    def earliest(self) -> Probe | None:
        """Returns the earliest stable probe; None where even the latest was not stable."""
        return min((probe for probe in self.probes if probe.stable), key=lambda probe: probe.step, default=None)

    @property
    def rise(self) -> tuple[Probe, Probe] | None:
        """Returns the neighbouring rewind points between which instability rises most; None where it never does."""
        ordered = sorted(self.probes, key=lambda probe: probe.step)
        rising = [pair for pair in pairwise(ordered) if pair[1].instability > pair[0].instability]
        return max(rising, key=lambda pair: pair[1].instability - pair[0].instability, default=None)

    @property
    def sentences(self) -> tuple[str, str]:
        """Returns the finding, and what the probes say of the assumption behind it."""
        return self._finding(), self._assumption()

    def _finding(self) -> str:
        found, unstable = self.earliest, [probe for probe in self.probes if not probe.stable]
        if found is None:
            return f"Not stable at the latest rewind point tried, {unstable[0].moment}."
        text = f"Earliest stable rewind point: {found.moment}, step {found.step}"
        if not unstable:
            return f"{text}: stable from the start."
        before = max(unstable, key=lambda probe: probe.step)
        return f"{text}; {count(found.step - before.step, 'step')} earlier, at {before.moment}, it is not."

    def _assumption(self) -> str:
        assumed = "Bisection assumes that instability falls as the rewind point moves later"
        if self.rise is None:
            return f"{assumed}; it does so among these probes."
        a, b = self.rise
        text = f"{assumed}; among these probes it rises by up to {size(b.instability - a.instability)}"
        doubt = ", so that an earlier stable point is not excluded" if b.instability - a.instability >= STABLE else ""
        return f"{text}, from {a.moment} to {b.moment}{doubt}."

    def as_json(self) -> dict[str, Any]:
        """Returns probes and finding as JSON values."""
        probes = [{**asdict(probe), "moment": str(probe.moment), "stable": probe.stable} for probe in self.probes]
        found = None if self.earliest is None else str(self.earliest.moment)
        return {"earliest": found, "resolution": self.resolution, "probes": probes, "sentences": list(self.sentences)}


def bisect(judge: Callable[[int], Probe], last: int, resolution: int = 1) -> Iterator[Probe]:
    """Yields the probes of a search in [0, last]: `last`, 0, then the middle of the steps between unstable and stable.

    It ends where the last probe is not stable, where step 0 is, or where no more than `resolution` steps are left.
    """
    probe = judge(last)
    yield probe
    if not probe.stable or last == 0:
        return
    probe = judge(0)
    yield probe
    if probe.stable:
        return
    low, high = 0, last
    while high - low > resolution:
        middle = (low + high) // 2
        probe = judge(middle)
        yield probe
        low, high = (low, middle) if probe.stable else (middle, high)


def probing(spec: Spec, sparsity: float, moment: Step, seed: int) -> Spec:
    """Returns the spec whose grid is one ticket and its copy, in iterative pruning with the levels before.

    It is the same experiment, so that its units are ordinary units of the run.
    """
    grid = {"rewind": (moment,), "controls": ("copy",), "arms": (), "methods": (), "thresholds": (), "search": "full"}
    ends = {"min_density": None, "min_accuracy": None}
    if spec.iterative:
        levels = spec.grid.sparsities[: spec.grid.sparsities.index(sparsity) + 1]
        cells = {"sparsities": levels, "levels": len(levels), "controls_at": (len(levels),), **ends}
    else:
        cells = {"sparsities": (sparsity,), "controls_at": "all"}
    execute = spec.execute.model_copy(update={"launcher": "local", "workers": 1, "data_parallel": 1})
    narrow = {"grid": spec.grid.model_copy(update={**grid, **cells}), "seeds": (seed,), "execute": execute}
    return spec.model_copy(update={**narrow, "select": spec.select.model_copy(update={"confirm_seeds": 0})})


def level_of(spec: Spec, sparsity: float | None) -> float:
    """Returns the sparsity to probe: as asked, by default the dense network's.

    In iterative pruning that of the level within half a per cent of it, by default the last. Raises LthError where
    there is no such level, such as for the dense network.
    """
    if not spec.iterative:
        return sparsity or 0.0
    levels = spec.grid.sparsities
    near = levels[-1] if sparsity is None else min(levels, key=lambda level: abs(level - sparsity))
    if sparsity is not None and abs(near - sparsity) > NEAR:
        known = listed(share(level) for level in levels)
        cure = f'Its levels are {known}. Bisect the dense network in a run of method = "one_shot".'
        raise LthError("iterative pruning has no level of this sparsity", at="--sparsity", value=sparsity, cure=cure)
    return near
