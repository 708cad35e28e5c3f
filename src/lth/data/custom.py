"""Augmentation by a function of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lth.data.augment import Moves
from lth.errors import DataError
from lth.spec.imported import imported_function

# (images float32 (B,C,H,W) in grey levels 0..255, ids int64 (B,), epoch, seed) -> images alike
Custom = Callable[[Tensor, np.ndarray, int, int], Tensor]
KEY = "data.augment.custom"
PURE = "Make it a function of its arguments alone, image by image; lth.data.hashing.uniform gives random numbers."


def custom_function(path: str) -> Custom:
    """Returns the function that "package.module:function" names; raises DataError where there is none to call."""

    def refused(what: str, cure: str) -> DataError:
        return DataError(what, at=KEY, value=path, cure=cure)

    return imported_function(path, refused, ("images", "ids", "epoch", "seed"))


def apply(function: Custom, x: Tensor, moves: Moves) -> Tensor:
    """Returns the images that the user's function makes of x (B,C,H,W), float32.

    Raises DataError for a function that raises, or that gives no images of that kind and shape.
    """
    before = x.to(torch.float32).contiguous()
    try:
        made: Any = function(before.clone(), moves.ids, moves.epoch, moves.seed)
    except Exception as problem:
        raise DataError(f"it raised {type(problem).__name__}: {problem}", at=KEY, cure=PURE) from problem
    wanted = (before.shape, torch.float32, before.device)
    found = (made.shape, made.dtype, made.device) if isinstance(made, Tensor) else type(made).__name__
    if found != wanted:
        cure = "Return a float32 tensor of the shape, and on the device, of the images."
        raise DataError("it gave something else than images", at=KEY, value=found, cure=cure)
    return made.contiguous()


def check_pure(function: Custom, x: Tensor, moves: Moves) -> None:
    """Returns nothing; raises DataError where a second call, or fewer images at once, give other pixels."""
    whole = apply(function, x, moves)
    half = max(1, len(x) // 2)
    parts = [apply(function, x[part], moves[part]) for part in (slice(0, half), slice(half, None)) if len(x[part])]
    if not torch.equal(whole, torch.cat(parts)):
        what = "its images depend on more than pixels, id, epoch and seed"
        raise DataError(what, at=KEY, cure=PURE)
