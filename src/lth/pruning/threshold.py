"""Masks from scores: exactly as many weights pruned as asked, at every sparsity, from one sort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from lth.errors import LthError
from lth.pruning.allocate import Scope, budget
from lth.pruning.mask import Mask


def masks(
    scores: Mapping[str, Tensor], sparsities: Sequence[float], *, scope: Scope,
    rates: Mapping[str, float] | None = None, costs: Mapping[str, int] | None = None,
) -> dict[float, Mask]:  # fmt: skip
    """Returns, for each sparsity, the mask that prunes the lowest scores, nested from one sparsity to the next.

    Which layers are ranked together, and exactly how many weights each group loses, says `budget`; equal
    scores (0.0 and -0.0 are equal) go in the order of the layers, then of the flat index. `costs` holds the
    multiply-adds of each layer, which only the scope "flops" reads. Raises LthError for a sparsity outside
    [0, 1), for scores that are not numbers, and as `budget` does.
    """
    for sparsity in sparsities:
        _check_sparsity(sparsity)
    shapes = {name: score.shape for name, score in scores.items()}
    kept: dict[float, dict[str, Tensor]] = {sparsity: {} for sparsity in sparsities}
    budgets = [budget(shapes, sparsity, scope, rates, costs) for sparsity in kept]
    for group in zip(*budgets, strict=True):
        names, _ = group[0]  # the same at every sparsity
        survivors = surviving({name: scores[name] for name in names}, [pruned for _, pruned in group])
        for layers, survives in zip(kept.values(), survivors, strict=True):
            layers |= survives
    return {sparsity: Mask({name: layers[name] for name in scores}) for sparsity, layers in kept.items()}


def nested_mask(
    before: Mask | None, scores: Mapping[str, Tensor], sparsity: float, *, scope: Scope,
    rates: Mapping[str, float] | None = None, costs: Mapping[str, int] | None = None,
) -> Mask:  # fmt: skip
    """Returns the mask of a sparsity that keeps only weights of `before` (None: all): of those, the lowest scores go.

    Counts are those of `masks`, whatever the scores of the weights that `before` prunes. Raises LthError where
    `before` and the scores differ in names or shapes, or it keeps fewer weights of a group than the sparsity
    leaves, so that no nested mask has the count, and as `masks` does.
    """
    _check_sparsity(sparsity)
    kept = kept_before(before, scores)
    shapes, layers = {name: score.shape for name, score in scores.items()}, {}
    for names, pruned in budget(shapes, sparsity, scope, rates, costs):
        more = pruned - sum(int((~kept[name]).count_nonzero()) for name in names)
        if more < 0:
            what = f"the mask before has pruned {-more} weights more of a group than this sparsity does"
            raise LthError(what, at=names[0], value=sparsity, cure="Give the sparsities in rising order, in one scope.")
        layers |= surviving({name: scores[name] for name in names}, [more], kept)[0]
    return Mask({name: layers[name] for name in scores})


def kept_before(before: Mask | None, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns what `before` keeps, by name in the order of the weights or scores `tensors`; everything for None.

    Raises LthError where the two differ in names or shapes.
    """
    if before is None:
        return {name: torch.ones(tensor.shape, dtype=torch.bool) for name, tensor in tensors.items()}
    odd = sorted(before.tensors.keys() ^ tensors.keys())
    if odd:
        cure = "Give the weights that the mask decides over."
        raise LthError("the mask before and the weights do not name the same layers", value=odd, cure=cure)
    for name, tensor in tensors.items():
        if before.tensors[name].shape != tensor.shape:
            found = f"{tuple(before.tensors[name].shape)}, the weight {tuple(tensor.shape)}"
            cure = "Take the weights of the network it was made from."
            raise LthError("the mask before has another shape than the weight", at=name, value=found, cure=cure)
    return {name: before.tensors[name] for name in tensors}


def surviving(
    scores: Mapping[str, Tensor], counts: Sequence[int], among: Mapping[str, Tensor] | None = None
) -> list[dict[str, Tensor]]:
    """Returns, for each count, which weights of a group are left without the `count` lowest scores, as booleans.

    Only weights that are True in `among` (left out: all) are there to be lost or left, by the same names and of
    the same shapes as their scores; equal scores go as in `masks`, whose errors for scores are raised.
    """
    if not scores:
        return [{} for _ in counts]
    values = np.concatenate([_flat(name, score) for name, score in scores.items()])
    there = slice(None) if among is None else torch.cat([among[name].reshape(-1) for name in scores]).numpy()
    keys = _keys(values[there])
    ranked = np.sort(keys)
    found: list[dict[str, Tensor]] = []
    for count in counts:
        survives = np.zeros(len(values), dtype=bool)
        if count < len(ranked):
            survives[there] = keys >= ranked[count]
        found.append(_split(survives, {name: score.shape for name, score in scores.items()}))
    return found


def _keys(values: np.ndarray) -> np.ndarray:
    """Unique uint64 keys that rise with the value, then with the position: sorting them needs no stable sort."""
    if values.dtype == np.float64:
        keys = np.empty(len(values), dtype=np.uint64)
        keys[np.argsort(values, kind="stable")] = np.arange(len(values), dtype=np.uint64)
        return keys
    assert len(values) < 2**32
    bits = (values + np.float32(0)).view(np.uint32)  # + 0 makes -0.0 equal to 0.0
    rising = np.where(bits >> 31, ~bits, bits | np.uint32(2**31))
    return rising.astype(np.uint64) << np.uint64(32) | np.arange(len(values), dtype=np.uint64)


def _flat(name: str, score: Tensor) -> np.ndarray:
    exact = torch.float32 if score.dtype in (torch.float32, torch.float16, torch.bfloat16) else torch.float64
    values = score.detach().to("cpu", exact).reshape(-1).numpy()
    if np.isnan(values).any():
        found = f"{np.isnan(values).sum()} of {values.size}"
        raise LthError("a score is not a number", at=name, value=found, cure="The training that made it has diverged.")
    return values


def _check_sparsity(sparsity: float) -> None:
    if not 0 <= sparsity < 1:
        raise LthError("a sparsity is outside [0, 1)", value=sparsity, cure="Write 90 % as 0.9.")


def _split(survives: np.ndarray, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    ends = np.cumsum([shape.numel() for shape in shapes.values()])[:-1]
    parts = zip(np.split(survives, ends), shapes.items(), strict=True)
    return {name: torch.from_numpy(part).reshape(shape) for part, (name, shape) in parts}


def above(weights: Mapping[str, Tensor], threshold: float) -> Mask:
    """Returns the mask that keeps every weight whose magnitude is at least `threshold`, whatever its layer."""
    return Mask({name: weight.detach().abs() >= threshold for name, weight in weights.items()})
