"""The rules of how a spec prunes, and what it trains beside the tickets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lth.spec.levels import level_sparsities
from lth.spec.recipe import Cosine
from lth.spec.values import refused

if TYPE_CHECKING:
    from lth.spec.schema import Spec

OWN_TRAINING = ("dense_long", "reinit_k", "small_dense", "small_dense_flops")  # what only our own training can do
ITERATIVE_ONLY = ("levels", "min_density", "min_accuracy")


def broken_in_pruning(spec: Spec) -> Iterator[PydanticCustomError]:
    """Returns an error for each rule that the pruning, the grid and its controls break."""
    yield from _iterative(spec) if spec.iterative else _one_shot(spec)
    yield from _controls(spec)
    yield from _arms(spec)
    yield from _entry(spec)


def _one_shot(spec: Spec) -> Iterator[PydanticCustomError]:
    idle = [("prune.rate", spec.prune.rate)] + [(f"grid.{key}", getattr(spec.grid, key)) for key in ITERATIVE_ONLY]
    for key, value in idle:
        if value is not None:
            what = 'would be ignored: prune.method = "one_shot" prunes once'
            cure = 'Drop it, or set method = "iterative"'
            yield refused(what, cure, key=key, value=value, needs=("prune.method",))
    moment, length = spec.prune.mask_from.step, spec.train.length
    if moment is not None and length.epochs and moment.epochs >= length.epochs:
        what = f"not before the end of training, at train.epochs = {length.epochs}"
        cure = 'Use an earlier moment; "100%" is the end'
        yield refused(what, cure, key="prune.mask_from", value=str(moment), needs=("train.epochs",))


def _iterative(spec: Spec) -> Iterator[PydanticCustomError]:
    grid, prune, needs = spec.grid, spec.prune, ("prune.method",)
    if prune.rate is None:
        what, cure = "missing", "Add it to [prune]: rate = 0.2 prunes a fifth of what is left at every level"
        yield refused(what, cure, key="prune.rate", needs=needs)
    if (grid.levels is None) == (grid.min_density is None):
        what = "given beside grid.min_density" if grid.levels else "missing"
        cure = "Keep one of them" if grid.levels else "Add levels = 15 to [grid], or min_density = 0.035"
        yield refused(what, cure, key="grid.levels", value=grid.levels, needs=(*needs, "grid.min_density"))
    elif prune.rate is not None and grid.sparsities != level_sparsities(prune.model_dump(), grid.model_dump()):
        what, cure = "do not follow from prune.rate and grid.levels", "Leave them out: they are computed"
        found = (*needs, "prune.rate", "grid.levels")
        yield refused(what, cure, key="grid.sparsities", value=list(grid.sparsities), needs=found)
    if prune.scope not in ("global", "layerwise"):
        what, cure = "goes with one-shot pruning only", 'Take scope = "global" or "layerwise"'
        yield refused(what, cure, key="prune.scope", value=prune.scope, needs=needs)
    if str(prune.mask_from) != "100%":
        what = "would be ignored: each level is ranked at its end"
        yield refused(what, "Drop it", key="prune.mask_from", value=str(prune.mask_from), needs=needs)
    for key, value in (("thresholds", list(grid.thresholds)), ("search", grid.search)):
        if value and value != "full":
            what, cure = "goes with one-shot pruning only", 'Drop it, or set prune.method = "one_shot"'
            yield refused(what, cure, key=f"grid.{key}", value=value, needs=needs)


def _controls(spec: Spec) -> Iterator[PydanticCustomError]:
    grid, needs = spec.grid, ("grid.controls",)
    if grid.controls_at != "knee" and not grid.controls:
        cure = 'Add controls = ["reinit"], or drop controls_at'
        at = grid.controls_at if isinstance(grid.controls_at, str) else list(grid.controls_at)
        yield refused("would be ignored: there are no controls", cure, key="grid.controls_at", value=at, needs=needs)
    if not isinstance(grid.controls_at, str):
        known = list(range(1, len(grid.sparsities) + 1)) if spec.iterative else list(grid.sparsities)
        odd = [value for value in grid.controls_at if value not in known]
        if odd:
            what = "not among the levels of the grid" if spec.iterative else "not among grid.sparsities"
            cure = f"Take some of {', '.join(f'{value:g}' for value in known[:8])}{' ...' * (len(known) > 8)}"
            yield refused(what, cure, key="grid.controls_at", value=odd, needs=("grid.sparsities", "prune.method"))
    for key, seeds in (("seeds", len(spec.seeds)), ("select.confirm_seeds", spec.select.confirm_seeds)):
        if "other_seed" in grid.controls and seeds == 1:
            what, cure = 'one seed has no "other_seed"', "Add a seed, or drop that control"
            yield refused(what, cure, key=key, value=seeds, needs=needs)


def _arms(spec: Spec) -> Iterator[PydanticCustomError]:
    schedule = spec.train.schedule
    if "fine_tune" in spec.grid.arms and isinstance(schedule, Cosine) and not schedule.final_lr:
        what = 'would train at a learning rate of almost 0, the last of train.schedule.name = "cosine"'
        cure, needs = "Set train.schedule.final_lr, or drop that arm", ("train.schedule",)
        yield refused(what, cure, key="grid.arms", value=list(spec.grid.arms), needs=needs)


def _entry(spec: Spec) -> Iterator[PydanticCustomError]:
    """A training function of one's own prunes, schedules and measures as it likes."""
    if spec.train.entry is None:
        return
    ours = [("grid.methods", [one for one in spec.grid.methods if one == "gradual"])]
    ours += [("grid.arms", [one for one in spec.grid.arms if one == "fine_tune"])]
    ours += [("grid.controls", [one for one in spec.grid.controls if one in OWN_TRAINING])]
    for key, value in ours:
        if value:
            what = "cannot be done by train.entry, whose schedule and mask are its own"
            yield refused(what, "Drop it, or train.entry", key=key, value=value, needs=("train.entry",))
    if spec.train.test_every is not None:
        what, value = "would be ignored: train.entry trains", str(spec.train.test_every)
        yield refused(what, "Drop it, or train.entry", key="train.test_every", value=value, needs=("train.entry",))
