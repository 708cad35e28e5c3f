"""Whether a state dict fits a model, and its copy into it: all of it or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from lth.errors import TicketError

CURE = "Pass the model that the ticket was made from."


def copy_into(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Returns nothing; the model's parameters and persistent buffers hold `state`.

    Raises TicketError where any part does not fit, the model untouched.
    """
    found = targets(model, state)
    absent = [name for name, target in found.items() if target.is_meta]
    if absent:
        cure = "Materialise the model first, for instance with model.to_empty(device='cpu')."
        raise TicketError("a parameter without memory", value=absent[:3], cure=cure)
    with torch.no_grad():
        for name, target in found.items():
            target.copy_(state[name])


def targets(model: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the model's own tensor for each name of `state`.

    The prefixes that DistributedDataParallel ("module.") and torch.compile ("_orig_mod.") put before names are
    passed over. Raises TicketError with every name, shape or dtype that differs; a partly fitting state is none.
    """
    live: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
    live.update(model.named_buffers(remove_duplicate=False))
    names = _unwrapped(list(model.state_dict()), set(state))
    missing, extra = sorted(names.keys() - state.keys()), sorted(state.keys() - names.keys())
    problems = [f"the ticket lacks {_some(missing)}"] * bool(missing)
    problems += [f"the model lacks {_some(extra)}"] * bool(extra)
    foreign = [name for name, own in names.items() if own not in live]
    problems += [f"{_some(foreign)} of the model: neither parameter nor buffer"] * bool(foreign)
    found = {name: live[own] for name, own in names.items() if own in live and name in state}
    problems += list(_mismatches(found, state))
    if problems:
        more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise TicketError("the ticket does not fit the model: " + "; ".join(problems[:5]) + more, cure=CURE)
    return found


def _mismatches(found: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> Iterator[str]:
    seen: dict[int, str] = {}
    for name, target in found.items():
        value = state[name]
        first = seen.setdefault(id(target), name)
        if is_lazy(target):
            yield f"{name!r} of the model has no shape before the first forward pass"
        elif target.shape != value.shape:
            yield f"{name!r} has shape {tuple(value.shape)}, in the model {tuple(target.shape)}"
        elif target.dtype != value.dtype:
            yield f"{name!r} is {value.dtype}, in the model {target.dtype}"
        elif first != name and not torch.equal(value, state[first]):
            yield f"{name!r} and {first!r} are one tensor in the model, two in the ticket"


def _unwrapped(names: list[str], wanted: set[str]) -> dict[str, str]:
    """Returns name as the ticket knows it -> name in the model's state dict."""
    plain = {name: name for name in names}
    while plain.keys() != wanted and plain:
        parts = {own: [part for part in name.split(".") if part != "_orig_mod"] for name, own in plain.items()}
        shorter = {".".join(kept): own for own, kept in parts.items()}
        if shorter.keys() == plain.keys():
            if not all(name.startswith("module.") for name in plain):
                break
            shorter = {name.removeprefix("module."): own for name, own in plain.items()}
        plain = shorter
    return plain


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + more
