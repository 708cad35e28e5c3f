"""A ticket's masks and state dicts <-> the tensors of its file, and the checks that they belong together."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lth.errors import TicketError
from lth.pruning.mask import Mask
from lth.tickets.format import SPELLING, Shapes

State = dict[str, Tensor]
DIVERGED = "Make the ticket from a training that did not diverge."
PARTS = ("rewound", "trained")


def owned(state: Mapping[str, Tensor]) -> State:
    """Returns a copy of the state dict on the CPU that later training does not change."""
    odd = [name for name, value in state.items() if not isinstance(value, Tensor) or value.dtype not in SPELLING]
    if odd:
        raise TicketError("neither a float, an integer nor a truth value of a dtype that tickets store", value=odd[:3])
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}


def pruned(state: State, mask: Mask) -> State:
    """Returns the state dict with +0 wherever the mask of a tensor prunes; what has no mask of its shape stays."""
    fits = {name: keep for name, keep in mask.tensors.items() if name in state and state[name].shape == keep.shape}
    return state | {name: state[name].masked_fill(~keep, 0) for name, keep in fits.items()}


def check(mask: Mask, rewound: State, trained: State | None, density: float) -> None:
    """Returns nothing. Raises TicketError naming the tensor or field that contradicts the mask or the other weights."""
    if not mask.tensors:
        raise TicketError("the mask has no tensor")
    if abs(mask.density - density) > 1e-9:
        what = f"the mask keeps {mask.kept} of {mask.total} weights"
        raise TicketError(what, at="field 'density_prunable'", value=density)
    for part, state in _states(rewound, trained):
        for name in mask.tensors.keys() - state.keys():
            raise TicketError("a masked parameter has no weights", at=_tensor(part, name))
        for name, value in state.items():
            _check_values(_tensor(part, name), value, mask.tensors.get(name))
    if trained is not None:
        _check_alike(rewound, trained)


def _check_values(at: str, value: Tensor, keep: Tensor | None) -> None:
    if value.is_floating_point() and bool(value.isnan().any()):
        raise TicketError("holds NaN", at=at, cure=DIVERGED)
    if keep is None:
        return
    if not value.is_floating_point() or value.shape != keep.shape:
        found = f"{value.dtype} of shape {tuple(value.shape)}"
        raise TicketError(f"the mask is for floats of shape {tuple(keep.shape)}", at=at, value=found)
    if bool(value.isinf().any()):
        raise TicketError("holds an infinite weight", at=at, cure=DIVERGED)
    if bool(value[~keep].any()):
        cure = "Multiply the weights by the mask first."
        raise TicketError(f"{int(value[~keep].count_nonzero())} pruned weights are not 0", at=at, cure=cure)


def _check_alike(rewound: State, trained: State) -> None:
    odd = sorted(rewound.keys() ^ trained.keys())
    pairs = {name: (value, trained[name]) for name, value in rewound.items()} if not odd else {}
    odd += [name for name, (one, other) in pairs.items() if one.shape != other.shape or one.dtype != other.dtype]
    if odd:
        raise TicketError("rewound and trained weights differ in names, shapes or dtypes", value=odd[:3])


def to_tensors(mask: Mask, rewound: State, trained: State | None) -> State:
    """Returns the tensors of the ticket's file by name: packed masks, surviving weights, all other state in full."""
    tensors = {f"mask/{name}": bits for name, bits in mask.pack().items()}
    for part, state in _states(rewound, trained):
        for name, value in state.items():
            keep = mask.tensors.get(name)
            tensors[_file_name(part, name, keep)] = value.contiguous() if keep is None else value[keep]
    return tensors


def from_tensors(shapes: Shapes, tensors: Mapping[str, Tensor]) -> tuple[Mask, State, State | None]:
    """Returns mask, rewound and trained state.

    Raises TicketError naming a tensor that is one too many, missing, or of the wrong length.
    """
    parts: dict[str, State] = {"mask": {}, **{part + end: {} for part in PARTS for end in ("", "_state")}}
    for name, value in tensors.items():
        part, _, inner = name.partition("/")
        if part not in parts or (inner in shapes) == part.endswith("_state"):
            raise TicketError("a tensor that has no place in format 1", at=f"tensor {name!r}")
        parts[part][inner] = value
    mask = Mask.unpack({name: parts["mask"][name] for name in shapes}, shapes)
    rewound = _dense("rewound", parts, mask)
    return mask, rewound, _dense("trained", parts, mask) if parts["trained"] or parts["trained_state"] else None


def _dense(part: str, parts: Mapping[str, State], mask: Mask) -> State:
    state: State = {}
    for name, keep in mask.tensors.items():
        values, count = parts[part].get(name), int(keep.sum())
        if values is None:
            raise TicketError("missing from the file", at=_tensor(part, name))
        if values.dim() != 1 or values.numel() != count:
            raise TicketError(f"the mask keeps {count} weights", at=_tensor(part, name), value=tuple(values.shape))
        state[name] = torch.zeros(keep.shape, dtype=values.dtype).masked_scatter_(keep, values)
    return state | parts[f"{part}_state"]


def _states(rewound: State, trained: State | None) -> list[tuple[str, State]]:
    return [("rewound", rewound)] + ([] if trained is None else [("trained", trained)])


def _file_name(part: str, name: str, keep: Tensor | None) -> str:
    return f"{part}/{name}" if keep is not None else f"{part}_state/{name}"


def _tensor(part: str, name: str) -> str:
    return f"tensor {part + '/' + name!r}"
