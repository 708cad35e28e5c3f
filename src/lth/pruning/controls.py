"""What controls are made of: masks as sparse as a ticket's but drawn or ranked otherwise, and a ticket's bare signs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from lth.errors import LthError
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude
from lth.pruning.threshold import kept_before, surviving


def shuffled_mask(mask: Mask, seed: int) -> Mask:
    """Returns a mask that keeps as many weights of every layer, at random places, the same for the same seed."""
    return Mask({
        name: _drawn(tensor.numel(), int(tensor.count_nonzero()), f"shuffled_mask:{seed}:{name}").reshape(tensor.shape)
        for name, tensor in mask.tensors.items()
    })  # fmt: skip


def random_mask(mask: Mask, seed: int) -> Mask:
    """Returns a mask that keeps as many weights in all, at random places of the network, the same for the same seed."""
    flat = _drawn(mask.total, mask.kept, f"random_mask:{seed}")
    parts = flat.split([tensor.numel() for tensor in mask.tensors.values()])
    layers = zip(parts, mask.tensors.items(), strict=True)
    return Mask({name: part.reshape(tensor.shape) for part, (name, tensor) in layers})


def inverted_mask(mask: Mask, weights: Mapping[str, Tensor]) -> Mask:
    """Returns a mask that keeps as many weights of every layer, but those of smallest magnitude.

    The sanity check of a score: one that is worth anything does worse inverted (Frankle et al. 2021, section 5).
    `weights` are those that the mask ranked, or any scores that are not negative, such as SNIP's; equal ones go
    as in `lth.pruning.threshold.masks`. Raises LthError where they do not fit the mask or are not numbers.
    """
    kept_before(mask, weights)
    scores = {name: -score for name, score in magnitude(weights).items()}
    lost = {name: int((~layer).count_nonzero()) for name, layer in mask.tensors.items()}
    return Mask({name: surviving({name: scores[name]}, [lost[name]])[0][name] for name in mask.tensors})


def signed_state(
    fresh: Mapping[str, Tensor], original: Mapping[str, Tensor], names: Iterable[str]
) -> dict[str, Tensor]:
    """Returns the state_dict `fresh` with the signs that the weights `names` have in `original`; the rest as it is.

    Tells what a ticket owes to the signs of its first weights alone (Zhou et al. 2019, section 4). Where the
    original weight is 0, the fresh one stands. Raises LthError for a name that is not in both, or of two shapes.
    """
    state = dict(fresh)
    for name in names:
        if name not in fresh or name not in original or fresh[name].shape != original[name].shape:
            cure = "Give two states of the same network."
            raise LthError("the two states have no such weight in common", at=name, cure=cure)
        value, sign = fresh[name].detach(), original[name].detach()
        state[name] = torch.where(sign == 0, value, value.abs() * sign.sign().to(value.dtype))
    return state


def drawn_scores(shapes: Mapping[str, torch.Size], seed: int) -> dict[str, torch.Tensor]:
    """Returns scores drawn at random, float64 in [0, 1), by name, for pruning at random; the same for the same seed."""
    return {
        name: _uniform(shape.numel(), f"drawn_scores:{seed}:{name}").reshape(shape) for name, shape in shapes.items()
    }


def _uniform(n: int, key: str) -> torch.Tensor:
    return torch.from_numpy((_words(n, key) >> np.uint64(11)).astype(np.float64) / 2**53)


def _words(n: int, key: str) -> np.ndarray:
    """Raw Philox words: the same under every NumPy version, and no RNG state."""
    philox = np.random.Philox(key=int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little"))
    return philox.random_raw(n)


def _drawn(n: int, kept: int, key: str) -> torch.Tensor:
    places = np.argsort(_words(n, key), kind="stable")[:kept]
    flat = torch.zeros(n, dtype=torch.bool)
    flat[torch.from_numpy(places)] = True
    return flat
