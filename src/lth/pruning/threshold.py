"""Masks from scores: exactly as many weights pruned as asked, at every sparsity, from one sort."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lth.errors import LthError
from lth.pruning.mask import Mask

Scope = Literal["global", "layerwise"]


def masks(
    scores: Mapping[str, Tensor], sparsities: Sequence[float],
    *, scope: Scope, rates: Mapping[str, float] | None = None,
) -> dict[float, Mask]:  # fmt: skip
    """Returns, for each sparsity, the mask that prunes the lowest scores, nested from one sparsity to the next.

    In a group of n weights exactly `pruned_count(n, sparsity, rate)` are pruned; equal scores (0.0 and -0.0
    are equal) go in the order of the layers, then of the flat index. The groups are those of `groups`.
    Raises LthError for a sparsity outside [0, 1), a bad rate, or scores that are not numbers.
    """
    for sparsity in sparsities:
        if not 0 <= sparsity < 1:
            raise LthError("a sparsity is outside [0, 1)", value=sparsity, cure="Write 90 % as 0.9.")
    kept: dict[float, dict[str, Tensor]] = {sparsity: {} for sparsity in sparsities}
    for names, rate in groups(scores, scope, rates):
        keys = _keys({name: scores[name] for name in names})
        ranked = np.sort(keys)
        for sparsity in sparsities:
            pruned = pruned_count(len(keys), sparsity, rate)
            survives = keys >= ranked[pruned] if pruned < len(keys) else np.zeros(len(keys), dtype=bool)
            kept[sparsity] |= _split(survives, {name: scores[name].shape for name in names})
    return {sparsity: Mask({name: layers[name] for name in scores}) for sparsity, layers in kept.items()}


def pruned_count(n: int, sparsity: float, rate: float) -> int:
    """Returns sparsity * rate * n rounded half up, in exact arithmetic on the decimals as they are written."""
    return math.floor(Fraction(str(sparsity)) * Fraction(str(rate)) * n + Fraction(1, 2))


def groups(names: Iterable[str], scope: Scope, rates: Mapping[str, float] | None) -> list[tuple[list[str], float]]:
    """Returns the layers that are ranked together, each group with its rate.

    Layerwise: every layer by itself. Global: all layers of rate 1 together, every other layer by itself.
    Raises LthError for an unknown scope, a rate outside [0, 1], or one for a layer that is not there.
    """
    layers, given = list(names), dict(rates or {})
    if scope not in ("global", "layerwise"):
        raise LthError("no such scope", at="scope", value=scope, cure='Take "global" or "layerwise".')
    for name, rate in given.items():
        if name not in layers:
            cure = f"Layers: {', '.join(layers[:8])}."
            raise LthError("a rate for a layer that has no scores", at="rates", value=name, cure=cure)
        if not 0 <= rate <= 1:
            cure = "A rate of 0.5 halves the sparsity."
            raise LthError("a rate is outside [0, 1]", at=f"rates.{name}", value=rate, cure=cure)
    together = [name for name in layers if scope == "global" and given.get(name, 1) == 1]
    alone = [([name], given.get(name, 1)) for name in layers if name not in together]
    return ([(together, 1)] if together else []) + alone


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
