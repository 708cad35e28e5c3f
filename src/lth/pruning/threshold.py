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
        if not 0 <= sparsity < 1:
            raise LthError("a sparsity is outside [0, 1)", value=sparsity, cure="Write 90 % as 0.9.")
    shapes = {name: score.shape for name, score in scores.items()}
    kept: dict[float, dict[str, Tensor]] = {sparsity: {} for sparsity in sparsities}
    budgets = [budget(shapes, sparsity, scope, rates, costs) for sparsity in kept]
    for group in zip(*budgets, strict=True):
        names, _ = group[0]  # the same at every sparsity
        survivors = surviving({name: scores[name] for name in names}, [pruned for _, pruned in group])
        for layers, survives in zip(kept.values(), survivors, strict=True):
            layers |= survives
    return {sparsity: Mask({name: layers[name] for name in scores}) for sparsity, layers in kept.items()}


def surviving(
    scores: Mapping[str, Tensor], counts: Sequence[int], among: Mapping[str, Tensor] | None = None
) -> list[dict[str, Tensor]]:
    """Returns, for each count, which weights of a group are left without the `count` lowest scores, as booleans.

    Only weights that are True in `among` (left out: all) are there to be lost or left, by the same names and of
    the same shapes as their scores; equal scores go as in `masks`, whose errors for scores are raised.
    """
    if not scores:
        return [{} for _ in counts]
    keys = _keys(scores)
    there = None if among is None else torch.cat([among[name].reshape(-1) for name in scores]).numpy()
    ranked = np.sort(keys if there is None else keys[there])
    found: list[dict[str, Tensor]] = []
    for count in counts:
        survives = keys >= ranked[count] if count < len(ranked) else np.zeros(len(keys), dtype=bool)
        survives = survives if there is None else survives & there
        found.append(_split(survives, {name: score.shape for name, score in scores.items()}))
    return found


def _keys(scores: Mapping[str, Tensor]) -> np.ndarray:
    """Unique uint64 keys that rise with the score, then with the position: sorting them needs no stable sort."""
    parts = [_flat(name, score) for name, score in scores.items()]
    values = np.concatenate(parts)
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


def _split(survives: np.ndarray, shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    ends = np.cumsum([shape.numel() for shape in shapes.values()])[:-1]
    parts = zip(np.split(survives, ends), shapes.items(), strict=True)
    return {name: torch.from_numpy(part).reshape(shape) for part, (name, shape) in parts}


def above(weights: Mapping[str, Tensor], threshold: float) -> Mask:
    """Returns the mask that keeps every weight whose magnitude is at least `threshold`, whatever its layer."""
    return Mask({name: weight.detach().abs() >= threshold for name, weight in weights.items()})
