"""How long a run will take, from what its first trainings took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log
from typing import Any

from lth.spec.recipe import StepSchedule
from lth.spec.schema import Spec

FEW = 4  # tickets that measure: they disturb each other in the caches as more of them do
ENOUGH = 200  # steps that measure
FORMULA = (
    "A training takes steps x seconds a step + evaluations x seconds an evaluation + its overhead; W workers take\n"
    "ceil(trainings / W) times the mean training of each stage, and never less than the longest chain. Starting\n"
    "workers, selecting and reporting come on top."
)


@dataclass(frozen=True)
class Work:
    """The trainings of one stage: how many, their steps in all, and whether they are dense."""

    units: int
    steps: int
    dense: bool


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
    spec: Spec, stages: Sequence[Work], chain_steps: int, facts: Mapping[str, Any], workers: int
) -> WallTime | None:
    """Returns the wall time of the stages: the dense networks of the grid, its tickets, whatever follows; None where
    no dense network was measured yet. `chain_steps` is the longest chain in steps, `facts` what facts.json holds.
    """
    measured: Mapping[str, Any] = facts.get("measured", {})
    dense = measured.get("dense")
    if dense is None:
        return None
    every = spec.train.evaluate_every.index(facts["steps_per_epoch"])
    serial, parallel = 0.0, 0.0
    for stage in stages:
        if stage.units:
            seconds = _seconds(stage, dense if stage.dense else _like(spec, stage.units, measured, workers), every)
            serial += seconds
            parallel += ceil(stage.units / workers) * seconds / stage.units
    chain = _seconds(Work(0, chain_steps, True), dense, every)
    tickets = _like(spec, stages[1].units, measured, workers)
    return WallTime(
        serial_seconds=round(serial, 3),
        dense_seconds=round(_seconds(stages[0], dense, every), 3),
        workers=workers,
        seconds=round(max(parallel, chain), 3),
        longest_chain_seconds=round(chain, 3),
        seconds_per_step=float(f"{tickets['seconds_per_step']:.4g}"),
        tickets_together=tickets_together(spec, stages[1].units, workers),
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
    schedule = spec.train.schedule
    milestones = schedule.milestones if isinstance(schedule, StepSchedule) else ()
    enough = 1
    if steps_per_epoch is not None:
        milestones = tuple(moment.canonical(steps_per_epoch) for moment in milestones)
        enough = min(spec.train.epochs, ceil(ENOUGH / steps_per_epoch))
    epochs = max([enough, schedule.warmup_epochs + 1, *(moment.epochs + 1 for moment in milestones)])
    found = [f"train.epochs={epochs}", "train.guard_epochs=0", f"seeds=[{spec.seeds[0]}]", 'grid.rewind=["0"]']
    few = ", ".join(map(repr, spec.grid.sparsities[:FEW]))
    found += [f"grid.sparsities=[{few}]", "select.confirm_seeds=0"]
    found += ["grid.controls=[]", 'grid.controls_at="knee"'] if spec.grid.controls else []
    return found


def _like(spec: Spec, units: int, measured: Mapping[str, Any], workers: int) -> dict[str, Any]:
    """What one of `units` tickets takes: as measured with the most similar company, its share of the data corrected."""
    wanted = tickets_together(spec, units, workers)
    known = {int(kind.partition("-")[2]): found for kind, found in measured.items() if kind.startswith("tickets-")}
    known = known or {1: measured["dense"]}
    together = min(known, key=lambda one: abs(log(one / wanted)))
    found = known[together]
    share = found["data_share"]  # a batch is made once, for all tickets in lockstep
    return {**found, "seconds_per_step": found["seconds_per_step"] * (1 - share + share * together / wanted)}


def _seconds(stage: Work, one: Mapping[str, Any], every: int) -> float:
    evaluations = stage.steps / every
    return (
        stage.steps * one["seconds_per_step"]
        + evaluations * one["evaluation_seconds"]
        + stage.units * one["overhead_seconds"]
    )
