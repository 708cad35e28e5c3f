"""The audit: pure checks of the invariants of pruning, rewinding, training and resuming. True means it holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from lth.pruning.allocate import Scope, budget, level_budget
from lth.pruning.mask import Mask
from lth.runs.records import Audit

BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
FEWEST = 32  # starts of a sign that it takes before the signs are compared


def check_mask(
    mask: Mask, final_weights: Mapping[str, Tensor] | None, sparsity: float, scope: Scope,
    rates: Mapping[str, float], prunable: set[str], costs: Mapping[str, int] | None = None,
    *, before: Mask | None = None, rate: float | None = None,
) -> dict[str, bool]:  # fmt: skip
    """Returns the checks of a mask that was just made from `final_weights`, None for a control's mask.

    density_exact: every group of the prunable weights has exactly the count of its `budget` at `sparsity`, or,
    with a `rate`, has lost exactly that of its `level_budget` of what `before` keeps (None: everything); for a
    control, the network has. only_prunable_masked: the mask covers exactly the prunable weights.
    mask_ranks_final_weights: no pruned weight is larger in magnitude than a kept one of its group, among what
    `before` keeps. nested_in_previous_level, with `before`: nothing it prunes is kept. Raises LthError as
    `budget` and `level_budget` do, so for the scope "flops" without the `costs` of the prunable layers.
    """
    shapes = {name: tensor.shape for name, tensor in mask.tensors.items() if name in prunable}
    known = {name: share for name, share in rates.items() if name in shapes}
    there = {name: _there(before, name, tensor) for name, tensor in mask.tensors.items()}
    if rate is None:
        room = {name: shape.numel() for name, shape in shapes.items()}
        together = budget(shapes, sparsity, scope, known, costs)
    else:
        room = {name: int(there[name].count_nonzero()) for name in shapes}
        together = level_budget(room, rate, scope, known)
    wanted = [pruned for _, pruned in together]
    found = [sum(room[name] - int(mask.tensors[name].count_nonzero()) for name in names) for names, _ in together]
    checks = {
        "density_exact": sum(found) == sum(wanted) if final_weights is None else found == wanted,
        "only_prunable_masked": set(mask.tensors) == prunable,
    }
    if final_weights is not None:
        checks["mask_ranks_final_weights"] = all(_ranked(mask, final_weights, names, there) for names, _ in together)
    if before is not None:
        checks["nested_in_previous_level"] = _nested(mask, before)
    return checks


def check_threshold(mask: Mask, weights: Mapping[str, Tensor], threshold: float, prunable: set[str]) -> dict[str, bool]:
    """Returns the checks of a mask made by an absolute threshold: it keeps the weights that reach it, and no others."""
    sizes = {name: weights[name].detach().cpu().abs() for name in mask.tensors if name in weights}
    kept = [(sizes[name], tensor) for name, tensor in mask.tensors.items() if name in sizes]
    return {
        "density_exact": mask.kept == sum(int((size >= threshold).count_nonzero()) for size in sizes.values()),
        "only_prunable_masked": set(mask.tensors) == prunable,
        "mask_ranks_final_weights": all(bool((size[tensor] >= threshold).all()) for size, tensor in kept),
    }


def check_rewound(state: Mapping[str, Tensor], checkpoint: Mapping[str, Tensor], mask: Mask) -> dict[str, bool]:
    """Returns the checks of a network just rewound: `state` is its state_dict, `checkpoint` the one it goes back to.

    architecture_unchanged: the same names, shapes and dtypes. kept_equal_checkpoint and
    unmasked_equal_checkpoint: the same bits (of value + 0.0). pruned_weights_zero.
    """
    masked = mask.tensors
    return {
        "architecture_unchanged": _same_architecture(state, checkpoint),
        "kept_equal_checkpoint": all(
            _comparable(name, state, checkpoint, kept) and _same(state[name], checkpoint[name], kept)
            for name, kept in masked.items()
        ),
        "unmasked_equal_checkpoint": state.keys() == checkpoint.keys()
        and all(_same(state[name], checkpoint[name]) for name in checkpoint if name not in masked),
        "pruned_weights_zero": _zero(state, masked),
    }


def check_trained(
    state: Mapping[str, Tensor], start: Mapping[str, Tensor], mask: Mask | None,
    gradients: Mapping[str, Tensor] | None, optimizer_state: Mapping[str, Mapping[str, Tensor]] | None,
) -> dict[str, bool]:  # fmt: skip
    """Returns the checks of a network at the end of training from `start`; `mask` None is the dense network.

    `optimizer_state` maps a state's name, such as "exp_avg", to its values by parameter name; a check whose
    argument is None is left out. both_signs_trained: of the kept weights that could move, those that
    started negative moved about as often as those that started positive (see `_both_signs`).
    """
    checks = {
        "architecture_unchanged": _same_architecture(state, start),
        "both_signs_trained": _both_signs(state, start, mask),
    }
    if mask is not None:
        checks["pruned_weights_zero"] = _zero(state, mask.tensors)
    if mask is not None and gradients is not None:
        checks["pruned_gradients_zero"] = _zero(gradients, mask.tensors)
    if mask is not None and optimizer_state is not None:
        checks["pruned_optimizer_state_zero"] = all(_zero(values, mask.tensors) for values in optimizer_state.values())
    return checks


def check_resumed(saved: Mapping[str, Tensor], live: Mapping[str, Tensor]) -> dict[str, bool]:
    """Returns the check of a resumed training: weights, optimizer state and whatever else was saved, bit for bit."""
    same = _same_architecture(live, saved) and all(_same(live[name], saved[name]) for name in saved)
    return {"resumed_state_equal": same}


def verdict(*checks: Mapping[str, bool]) -> Audit:
    """Returns the audit of all `checks`; one that was made more than once holds if it always held."""
    merged: dict[str, bool] = {}
    for one in checks:
        for name, held in one.items():
            merged[name] = merged.get(name, True) and held
    return Audit(passed=all(merged.values()), checks=merged)


def _same_architecture(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(
        value.shape == other[name].shape and value.dtype == other[name].dtype for name, value in state.items()
    )


def _comparable(name: str, state: Mapping[str, Tensor], checkpoint: Mapping[str, Tensor], kept: Tensor) -> bool:
    return name in state and name in checkpoint and state[name].shape == checkpoint[name].shape == kept.shape


def _same(one: Tensor, other: Tensor, where: Tensor | None = None) -> bool:
    """Whether two tensors hold the same bits, -0.0 counting as 0.0 and NaN as itself."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    differs = _bits(one) != _bits(other)
    return not bool((differs if where is None else differs & where).any())


def _bits(tensor: Tensor) -> Tensor:
    value = tensor.detach().cpu()
    return (value + 0.0).view(BITS[value.element_size()]) if value.is_floating_point() else value


def _zero(values: Mapping[str, Tensor], masked: Mapping[str, Tensor]) -> bool:
    for name, kept in masked.items():
        if name not in values or values[name].shape != kept.shape:
            return False
        if bool((values[name].detach().cpu().ne(0) & ~kept).any()):
            return False
    return True


def _there(before: Mask | None, name: str, kept: Tensor) -> Tensor:
    """What was there to be pruned; everything where the mask before has no such layer, which is then not nested."""
    if before is None or name not in before.tensors or before.tensors[name].shape != kept.shape:
        return torch.ones_like(kept)
    return before.tensors[name]


def _nested(mask: Mask, before: Mask) -> bool:
    if mask.tensors.keys() != before.tensors.keys():
        return False
    pairs = [(kept, before.tensors[name]) for name, kept in mask.tensors.items()]
    return all(kept.shape == there.shape and not bool((kept & ~there).any()) for kept, there in pairs)


def _ranked(mask: Mask, weights: Mapping[str, Tensor], names: Iterable[str], there: Mapping[str, Tensor]) -> bool:
    largest_pruned, smallest_kept = -1.0, float("inf")
    for name in names:
        kept, lost = mask.tensors[name] & there[name], there[name] & ~mask.tensors[name]
        if name not in weights or weights[name].shape != kept.shape:
            return False
        size = weights[name].detach().cpu().abs()
        if lost.any():
            largest_pruned = max(largest_pruned, float(size[lost].max()))
        if kept.any():
            smallest_kept = min(smallest_kept, float(size[kept].min()))
    return largest_pruned <= smallest_kept


def _both_signs(state: Mapping[str, Tensor], start: Mapping[str, Tensor], mask: Mask | None) -> bool:
    """Whether negative and positive starts moved in shares less than a factor 2 apart.

    Counted are weights in a row (output unit) and a column (input) of which some kept weight moved: dead
    inputs and dead units, common in sparse networks and not independent of the signs, are left out, so an
    honest share is close to 1, and that of frozen weights is 0. Weight decay alone counts as moving.
    """
    kept = _everything(start) if mask is None else mask.tensors
    could, did = {-1: 0, 1: 0}, {-1: 0, 1: 0}
    for name, layer in kept.items():
        if not _comparable(name, state, start, layer) or not layer.numel():
            continue
        before, after = start[name].detach().cpu(), state[name].detach().cpu()
        rows = (len(layer), -1)
        moved = (layer & after.ne(before)).reshape(rows)
        movable = layer.reshape(rows) & moved.any(1, keepdim=True) & moved.any(0, keepdim=True)
        for sign in could:
            started = movable & (before.sign() == sign).reshape(rows)
            could[sign] += int(started.count_nonzero())
            did[sign] += int((started & moved).count_nonzero())
    if min(could.values()) < FEWEST:
        return True
    shares = [did[sign] / could[sign] for sign in could]
    return min(shares) * 2 > max(shares)


def _everything(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The mask of a dense network: every weight matrix and kernel, whole."""
    matrices = {name: value for name, value in state.items() if value.ndim > 1 and value.is_floating_point()}
    return {name: torch.ones(value.shape, dtype=torch.bool) for name, value in matrices.items()}
