"""The mask of every cell: the ticket's own, and those of its controls and of other methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lth.data.order import stream_seed
from lth.grid.next import parent
from lth.grid.unit import Cell
from lth.pruning.audit import check_mask, check_threshold
from lth.pruning.controls import drawn_scores, inverted_mask, random_mask, shuffled_mask
from lth.pruning.iterative import next_mask
from lth.pruning.mask import Mask
from lth.pruning.saliency import snip_scores, synflow_mask, synflow_scores
from lth.pruning.threshold import above, masks
from lth.spec.step import Step
from lth.spec.variants import Variant, partner, variant
from lth.training.checkpoint import checked_state
from lth.training.workspace import Workspace

Checks = dict[str, bool]


@dataclass(frozen=True)
class Ranked:
    """A ticket's mask, the weights whose magnitudes it ranks, and the mask of the level before (None: everything)."""

    mask: Mask
    weights: Mapping[str, Tensor]
    before: Mask | None = None


def ticket_mask(work: Workspace, unit: Cell, seed: int | None = None) -> Ranked:
    """Returns the mask of the ticket that the unit is or stands beside, of `seed` where it is another one's.

    One-shot pruning ranks the dense weights of `prune.mask_from`, iterative pruning those at the end of the level
    before. Raises RunError where a file it is made from is damaged.
    """
    seed, prune, prunable = unit.seed if seed is None else seed, work.spec.prune, work.prunable
    if unit.threshold is not None:
        weights = work.ranked_state(seed)
        return Ranked(above({name: weights[name] for name in prunable}, unit.threshold), weights)
    if unit.level is None:
        return Ranked(work.masks(seed)[unit.sparsity or 0.0], work.ranked_state(seed))
    weights, before = level_before(work, unit, seed)
    assert prune.rate is not None
    assert prune.scope in ("global", "layerwise")
    mask = next_mask(before, {name: weights[name] for name in prunable}, prune.rate, prune.scope, prunable)
    return Ranked(mask, weights, before)


def level_before(work: Workspace, unit: Cell, seed: int) -> tuple[dict[str, Tensor], Mask | None]:
    """Returns the trained weights of the level before the unit's, and its mask; at level 1 the dense ones and None."""
    source = parent(work.spec, unit, seed)
    if source is None:
        return work.ranked_state(seed), None
    result = work.run.told.trained(source.folder)
    weights = checked_state(work.run.artefact(result, "weights.safetensors"), result.files["weights.safetensors"])
    return weights, Mask.load(work.run.artefact(result, "mask.safetensors"))


def mask_and_checks(work: Workspace, unit: Cell) -> tuple[Mask | None, Checks]:
    """Returns the unit's mask and the audit of it; None for a dense network."""
    one = variant(unit.control)
    if one is None or one.mask == "ticket":
        return _audited(work, unit, ticket_mask(work, unit))
    if one.mask == "none":
        return None, {}
    if one.mask == "gradual":
        return Mask({name: torch.ones_like(work.final_state(unit.seed)[name]).bool() for name in work.prunable}), {}
    if one.kind == "method":
        mask = _by_method(work, unit, one)
        return mask, check_budget(work, unit, mask)
    mask = _of_control(work, unit, one)
    ticket = ticket_mask(work, unit).mask
    layers = {name: int(kept.count_nonzero()) for name, kept in ticket.tensors.items()}
    same = mask.kept == ticket.kept and (
        one.mask in ("random", "other_seed")
        or layers == {name: int(kept.count_nonzero()) for name, kept in mask.tensors.items()}
    )
    return mask, {"density_exact": same, "only_prunable_masked": set(mask.tensors) == set(work.prunable)}


def check_budget(work: Workspace, unit: Cell, mask: Mask) -> Checks:
    """Returns the audit of a mask that no magnitudes rank: its count, and that it covers the prunable weights."""
    prune, prunable = work.spec.prune, work.prunable
    return check_mask(mask, None, unit.sparsity or 0.0, prune.scope, prunable, set(prunable), work.costs)


def _audited(work: Workspace, unit: Cell, made: Ranked) -> tuple[Mask, Checks]:
    prune, prunable = work.spec.prune, work.prunable
    if unit.threshold is not None:
        return made.mask, check_threshold(made.mask, made.weights, unit.threshold, set(prunable))
    checks = check_mask(
        made.mask, made.weights, unit.sparsity or 0.0, prune.scope, prunable, set(prunable), work.costs,
        before=made.before, rate=prune.rate,
    )  # fmt: skip
    return made.mask, checks


def _of_control(work: Workspace, unit: Cell, one: Variant) -> Mask:
    if one.mask == "other_seed":
        return ticket_mask(work, unit, partner(work.spec, unit.seed)).mask
    made, seed = ticket_mask(work, unit), stream_seed(unit.seed, f"mask-{unit.sparsity!r}")
    match one.mask:
        case "shuffled":
            return shuffled_mask(made.mask, seed)
        case "random":
            return random_mask(made.mask, seed)
        case _:
            return inverted_mask(made.mask, {name: made.weights[name] for name in made.mask.tensors})


def _by_method(work: Workspace, unit: Cell, one: Variant) -> Mask:
    """Masks made at initialisation, of the seed's initial weights and the first batch of its dense training."""
    initial, prune, resident = work.dense_state(unit.seed, Step()), work.spec.prune, work.resident(unit.seed)
    sparsity, seed = unit.sparsity or 0.0, stream_seed(unit.seed, f"mask-{unit.sparsity!r}")
    method, _, check = one.mask.partition("_")
    network, names = work.model(unit.seed), work.prunable
    network.load_state_dict(initial)
    if method == "synflow":
        scores = synflow_scores(network, resident.input_shape, names)
        mask = synflow_mask(network, resident.input_shape, names, sparsity, prune.scope, work.costs)
    else:
        if method == "snip":
            scores = snip_scores(network, *work.stream(unit.seed, "dense").batch_at(0), names)
        else:
            scores = drawn_scores({name: initial[name].shape for name in names}, seed)
        mask = masks(scores, [sparsity], scope=prune.scope, rates=names, costs=work.costs)[sparsity]
    match check:
        case "shuffled":
            return shuffled_mask(mask, seed)
        case "inverted":
            return inverted_mask(mask, {name: score.cpu() for name, score in scores.items()})
        case _:
            return mask
