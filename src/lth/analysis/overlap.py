"""What two masks, and two networks under them, have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lth.errors import LthError
from lth.pruning.mask import Mask


@dataclass(frozen=True)
class Shared:
    """How many weights both masks keep and how many at least one does; `expected` is the former by chance.

    Two random masks of densities p and q in a layer of n weights share p q n on average.
    """

    both: int
    either: int
    expected: float

    @property
    def iou(self) -> float:
        """Returns intersection over union, in [0, 1]; 1 where neither keeps any weight."""
        return self.both / self.either if self.either else 1.0

    @property
    def by_chance(self) -> float:
        """Returns the intersection over union at the expected intersection."""
        either = self.both + self.either - self.expected
        return self.expected / either if either else 1.0


@dataclass(frozen=True)
class Overlap:
    """The overlap of two masks over all weights, where chance knows the density of every layer, and by layer."""

    total: Shared
    layers: Mapping[str, Shared]


def mask_overlap(first: Mask, second: Mask) -> Overlap:
    """Returns how far two masks over the same weights keep the same ones.

    Raises LthError where they are over different weights.
    """
    _check(first.tensors, second.tensors)
    layers = {name: _shared(one, second.tensors[name]) for name, one in first.tensors.items()}
    counts = ((one.both, one.either, one.expected) for one in layers.values())
    both, either, expected = (sum(column) for column in zip(*counts, strict=True))
    return Overlap(Shared(int(both), int(either), expected), layers)


def sign_agreement(first: Mapping[str, Tensor], second: Mapping[str, Tensor], masks: Iterable[Mask]) -> float:
    """Returns the share of equal signs among the weights that every mask keeps, in [0, 1]; 1 where they keep none.

    Raises LthError where weights of a mask are missing or have another shape.
    """
    equal = kept = 0
    chosen = list(masks)
    for mask in chosen:
        _check(chosen[0].tensors, mask.tensors)
        for state in (first, second):
            _check(mask.tensors, {name: state[name] for name in mask.tensors if name in state})
    for name in chosen[0].tensors:
        keeps = torch.stack([mask.tensors[name] for mask in chosen]).all(0)
        same = first[name].detach().cpu().sign() == second[name].detach().cpu().sign()
        equal += int((same & keeps).sum())
        kept += int(keeps.sum())
    return equal / kept if kept else 1.0


def _shared(first: Tensor, second: Tensor) -> Shared:
    size = max(1, first.numel())
    expected = int(first.sum()) * int(second.sum()) / size
    return Shared(int((first & second).sum()), int((first | second).sum()), expected)


def _check(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    if {name: one.shape for name, one in first.items()} != {name: one.shape for name, one in second.items()}:
        odd = sorted(first.keys() ^ second.keys()) or sorted(
            name for name, one in first.items() if one.shape != second[name].shape
        )
        cure = "Compare masks and weights of one network."
        raise LthError("not the same weights", value=odd, cure=cure)
