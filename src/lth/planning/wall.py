"""How long a run will take, from what its first trainings took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import ceil, log
from typing import Any

from lth.spec.recipe import StepSchedule
from lth.spec.schema import Spec
from lth.spec.step import Step

FEW = 4  # tickets that measure: they disturb each other in the caches as more of them do
ENOUGH = 200  # steps that measure
FORMULA = (
    "A training takes steps x seconds a step + evaluations x seconds an evaluation + its overhead. Of those that can\n"
    "be trained side by side, W workers take ceil(trainings / W) times the mean, and never less than the longest\n"
    "chain. Starting workers, selecting and reporting come on top."
)


@dataclass(frozen=True)
class Work:
    """Trainings of one stage that can be trained side by side: how many, their steps in all, and whether they are
    dense; those of a `wave` can begin when all earlier waves are done."""

    units: int
    steps: int
    dense: bool
    wave: int = 0


@dataclass(frozen=True)
class WallTime:
    """Predicted seconds, without starting workers, selecting and reporting.

    `serial_seconds` with one worker; `dense_seconds` of those pass before the first ticket of the grid can start,
    with one worker; `seconds` with `workers`, never less than `longest_chain_seconds`. `seconds_per_step` is that of
    one ticket among the `tickets_together` that a worker trains in lockstep, on the processor `device`.
    """

    serial_seconds: float
    dense_seconds: float
    workers: int
    seconds: float
    longest_chain_seconds: float
    seconds_per_step: float
    tickets_together: int
    device: str


def predict(
    spec: Spec, works: Sequence[Work], chain_steps: int, facts: Mapping[str, Any], workers: int
) -> WallTime | None:
    """Returns the wall time of the works, in the order of waves, the dense networks of the grid first; None where no
    dense network was measured yet. `chain_steps` is the longest chain in steps, `facts` what facts.json holds.
    """
    measured: Mapping[str, Any] = facts.get("measured", {})
    dense = measured.get("dense")
    if dense is None:
        return None
    every = spec.train.evaluate_every.index(facts["steps_per_epoch"])
    serial, parallel = 0.0, 0.0
    for _, wave in groupby(works, key=lambda work: work.wave):
        together = list(wave)
        seconds = sum(
            _seconds(work, dense if work.dense else _like(spec, work.units, measured, workers), every)
            for work in together
        )
        units = sum(work.units for work in together)
        serial += seconds
        parallel += ceil(units / workers) * seconds / units
    chain = _seconds(Work(0, chain_steps, True), dense, every)
    first = next(work for work in works if not work.dense)
    tickets = _like(spec, first.units, measured, workers)
    return WallTime(
        serial_seconds=round(serial, 3),
        dense_seconds=round(_seconds(works[0], dense, every), 3),
        workers=workers,
        seconds=round(max(parallel, chain), 3),
        longest_chain_seconds=round(chain, 3),
        seconds_per_step=float(f"{tickets['seconds_per_step']:.4g}"),
        tickets_together=tickets_together(spec, first.units, workers),
        device=str(dense.get("numerics", {}).get("device", "")),
    )


def tickets_together(spec: Spec, units: int, workers: int) -> int:
    """Returns how many tickets a worker will train in lockstep: its share of those ready, all of one seed."""
    return max(1, min(spec.execute.tickets_per_worker, ceil(units / workers), ceil(units / len(spec.seeds))))


def mismatch(spec: Spec, facts: Mapping[str, Any], train_examples: int | None, parameters: int | None) -> str:
    """Returns why times measured under `facts` say nothing about `spec`, or ""."""
    measured = facts.get("measured", {})
    numerics = measured.get("dense", {}).get("numerics", {})
    compared = {
        "training examples": (train_examples, facts.get("train_examples")),
        "parameters": (parameters, facts.get("parameters")),
        "steps an epoch": (int(facts.get("train_examples", 0)) // spec.data.batch_size, facts.get("steps_per_epoch")),
        "train.precision": (spec.train.precision, numerics.get("precision")),
        "train.compile": (spec.train.compile, numerics.get("compile")),
    }
    for what, (ours, theirs) in compared.items():
        if ours is not None and theirs is not None and ours != theirs:
            return f"{what}: {theirs} there, {ours} here"
    return ""


def settings_to_measure(spec: Spec, steps_per_epoch: int | None = None) -> list[str]:
    """Returns the `--set` settings of a run that measures: one seed, few tickets, few epochs that hold its schedule."""
    found = [_short(spec, steps_per_epoch), "train.guard_epochs=0", f"seeds=[{spec.seeds[0]}]", 'grid.rewind=["0"]']
    found += [_few_levels(spec), "select.confirm_seeds=0"]
    found += ["grid.controls=[]", 'grid.controls_at="knee"'] if spec.grid.controls else []
    found += [f"grid.{key}=[]" for key in ("thresholds", "arms", "methods") if getattr(spec.grid, key)]
    found += ['grid.search="full"'] if spec.grid.search != "full" else []
    return [*found, *(['prune.mask_from="100%"'] if spec.prune.mask_from.step is not None else [])]


def _short(spec: Spec, steps_per_epoch: int | None) -> str:
    """The setting of a short training that still holds warm-up and milestones; unknown ones keep its length."""
    schedule, train = spec.train.schedule, spec.train
    milestones = schedule.milestones if isinstance(schedule, StepSchedule) else ()
    if train.epochs is None:
        moments = (Step(schedule.warmup_epochs), *milestones)
        unknown = steps_per_epoch is None and any(moment.epochs for moment in moments)
        least = max(ENOUGH, *(moment.index(steps_per_epoch or 1) + 1 for moment in moments))
        return f"train.iterations={train.length.iterations if unknown else min(train.length.iterations, least)}"
    enough = 1
    if steps_per_epoch is not None:
        milestones = tuple(moment.canonical(steps_per_epoch) for moment in milestones)
        enough = min(train.epochs, ceil(ENOUGH / steps_per_epoch))
    epochs = max([enough, schedule.warmup_epochs + 1, *(moment.epochs + 1 for moment in milestones)])
    return f"train.epochs={epochs}"


def _few_levels(spec: Spec) -> str:
    """The setting of few sparsities, or of one level of iterative pruning."""
    if not spec.iterative:
        return f"grid.sparsities=[{', '.join(map(repr, spec.grid.sparsities[:FEW]))}]"
    return "grid.levels=1" if spec.grid.levels else f"grid.min_density={1 - spec.grid.sparsities[0]!r}"


def _like(spec: Spec, units: int, measured: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """What one of `units` tickets takes: as measured with the most similar company, its share of the data corrected."""
    wanted = tickets_together(spec, units, workers)
    known = {int(kind.partition("-")[2]): found for kind, found in measured.items() if kind.startswith("tickets-")}
    known = known or {1: measured["dense"]}
    together = min(known, key=lambda one: abs(log(one / wanted)))
    found = known[together]
    share = found["data_share"]  # a batch is made once, for all tickets in lockstep
    return {**found, "seconds_per_step": found["seconds_per_step"] * (1 - share + share * together / wanted)}


def _seconds(work: Work, one: Mapping[str, Any], every: int) -> float:
    training = work.steps * one["seconds_per_step"] + work.steps / every * one["evaluation_seconds"]
    return training + work.units * one["overhead_seconds"]
