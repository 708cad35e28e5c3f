"""Masks: which weights of a network are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lth.errors import LthError
from lth.runs.files import atomic_write

FORMAT = "lth-mask-1"
DAMAGED = "Make the mask again: the file is damaged, or it is not a mask."


class Mask:
    """Named boolean tensors over the prunable weights, on the CPU; True keeps a weight.

    The order of the names is the network's. Raises LthError for a tensor that is not boolean.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor) or tensor.dtype != torch.bool:
                found = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
                raise LthError("a mask holds boolean tensors", at=name, value=found, cure="Convert it with .bool().")
        self.tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        self._kept = {name: int(tensor.count_nonzero()) for name, tensor in self.tensors.items()}

    @property
    def kept(self) -> int:
        """Returns how many weights the mask keeps."""
        return sum(self._kept.values())

    @property
    def total(self) -> int:
        """Returns how many weights the mask decides over."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def density(self) -> float:
        """Returns kept / total; 1 for a mask over no weights."""
        return self.kept / self.total if self.total else 1.0

    def layer_densities(self) -> dict[str, float]:
        """Returns kept / total of each layer by name; 1 for a layer without weights."""
        sizes = {name: tensor.numel() for name, tensor in self.tensors.items()}
        return {name: self._kept[name] / size if size else 1.0 for name, size in sizes.items()}

    def collapsed(self) -> tuple[str, ...]:
        """Returns the names of the layers that had weights and keep none."""
        return tuple(name for name, tensor in self.tensors.items() if tensor.numel() and not self._kept[name])

    def pack(self) -> dict[str, Tensor]:
        """Returns each layer as ceil(n / 8) bytes (uint8): weight i is bit i % 8, from the lowest, of byte i // 8."""
        return {
            name: torch.from_numpy(np.packbits(tensor.numpy().reshape(-1), bitorder="little"))
            for name, tensor in self.tensors.items()
        }

    @classmethod
    def unpack(cls, packed: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> Mask:
        """Returns the mask whose `pack()` is `packed`; raises LthError where names, lengths or padding do not fit."""
        if packed.keys() != shapes.keys():
            odd = sorted(packed.keys() ^ shapes.keys())
            raise LthError("packed layers and shapes do not name the same layers", value=odd, cure=DAMAGED)
        return cls({name: _unpacked(name, packed[name], tuple(shape)) for name, shape in shapes.items()})

    def save(self, path: str | PathLike[str]) -> None:
        """Returns nothing; writes the packed mask as one safetensors file, shapes in its metadata, all or nothing."""
        shapes = {name: list(tensor.shape) for name, tensor in self.tensors.items()}
        metadata = {"format": FORMAT, "shapes": json.dumps(shapes)}
        atomic_write(Path(path), safetensors.torch.save(self.pack(), metadata))

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Mask:
        """Returns the mask saved at `path`; raises LthError for a file that is missing, damaged or something else."""
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError) as problem:
            raise LthError(f"cannot read the mask: {problem}", at=path, cure=DAMAGED) from problem
        if metadata.get("format") != FORMAT:
            cure = f"The format must be {FORMAT!r}."
            raise LthError("not a mask file", at=path, value=metadata.get("format"), cure=cure)
        try:
            return cls.unpack(packed, _shapes(metadata))
        except LthError as problem:
            raise LthError(str(problem), at=path) from problem

    def __eq__(self, other: object) -> bool:
        """Returns whether both masks keep the same weights under the same names, in whatever order."""
        if not isinstance(other, Mask):
            return NotImplemented
        same_names = self.tensors.keys() == other.tensors.keys()
        return same_names and all(torch.equal(tensor, other.tensors[name]) for name, tensor in self.tensors.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Mask({len(self.tensors)} layers, {self.kept} of {self.total} weights kept)"


def _unpacked(name: str, packed: Tensor, shape: tuple[int, ...]) -> Tensor:
    size = prod(shape)
    if packed.dtype != torch.uint8 or packed.shape != ((size + 7) // 8,):
        found = f"{packed.dtype} of shape {tuple(packed.shape)}"
        raise LthError(f"{size} weights need {(size + 7) // 8} packed bytes", at=name, value=found, cure=DAMAGED)
    bits = np.unpackbits(packed.cpu().numpy(), bitorder="little")
    if bits[size:].any():
        raise LthError("the padding bits of the last byte are not zero", at=name, cure=DAMAGED)
    return torch.from_numpy(bits[:size].astype(bool)).reshape(shape)


def _shapes(metadata: Mapping[str, str]) -> dict[str, list[int]]:
    try:
        shapes: Any = json.loads(metadata["shapes"])
        fine = all(type(size) is int and size >= 0 for shape in shapes.values() for size in shape)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        fine = False
    if not fine:
        raise LthError("the shapes in the header cannot be read", value=metadata.get("shapes"), cure=DAMAGED)
    return shapes
