"""Masks for controls: as sparse as a ticket's, but drawn at random (FIELD: shuffled_mask, random_mask)."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from lth.pruning.mask import Mask


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


def _drawn(n: int, kept: int, key: str) -> torch.Tensor:
    # Raw Philox words ranked by a stable sort: the same places under every NumPy version, and no RNG state.
    philox = np.random.Philox(key=int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little"))
    places = np.argsort(philox.random_raw(n), kind="stable")[:kept]
    flat = torch.zeros(n, dtype=torch.bool)
    flat[torch.from_numpy(places)] = True
    return flat
