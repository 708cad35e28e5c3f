"""Scores of weights that have not been trained: SNIP from one batch, SynFlow without any data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from lth.errors import LthError
from lth.pruning.allocate import Scope
from lth.pruning.mask import Mask
from lth.pruning.threshold import nested_mask

# Activations with an upper bound, under which positive signals would saturate and every gradient be 0.
BOUNDED = frozenset(("relu6", "hardtanh", "tanh", "sigmoid", "hardsigmoid", "softsign"))


def snip_scores(model: nn.Module, x: Tensor, y: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Returns |gradient * weight| of the mean cross-entropy over a batch, by parameter name.

    SNIP (Lee et al. 2019, section 4). `x` are the inputs, `y` the class indices, (batch,), on the network's device;
    the paper takes one batch of the training data. Batch norms take the statistics of the batch, as they do in
    training: the stored ones say nothing of untrained weights. Dropout is off. The network is left exactly as it
    came. The paper's division by the sum of all scores changes no ranking and is left out. Raises LthError for a
    name that is no parameter and for scores that are not finite.
    """
    parameters = _parameters(model, names)
    weights = {name: parameter.detach().requires_grad_() for name, parameter in parameters.items()}
    rest = {name: value.clone() for name, value in model.named_buffers()}
    with _evaluating(model):
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.train()
        with torch.enable_grad():
            loss = functional.cross_entropy(functional_call(model, rest | weights, (x,)), y)
    return _saliency(loss, weights)


def synflow_scores(
    model: nn.Module, input_shape: Sequence[int], names: Iterable[str], mask: Mask | None = None
) -> dict[str, Tensor]:
    """Returns the synaptic flow through every weight, in float64, by parameter name (Tanaka et al. 2020, eq. 2).

    It is |gradient * weight| of the sum of the outputs for one input of ones, `input_shape` being (channels,
    height, width), in a network of absolute values: as in the authors' code, of all parameters and buffers, so
    biases add to the flow and batch norms use their stored statistics (evaluation mode). What `mask` prunes is 0.
    Bounded activations, such as ReLU6, count as ReLU: the theory asks for linear ones. The network is left exactly
    as it came. Raises LthError for a name that is no parameter and for a flow beyond the range of float64.
    """
    parameters = _parameters(model, names)
    state = {name: _absolute(value) for name, value in (*model.named_parameters(), *model.named_buffers())}
    for name, kept in (mask.tensors if mask is not None else {}).items():
        state[name] = state[name].masked_fill(~kept.to(state[name].device), 0.0)
    weights = {name: state[name].requires_grad_() for name in parameters}
    first = next(iter(state.values()))
    ones = torch.ones(1, *input_shape, dtype=torch.float64, device=first.device)
    with _evaluating(model), torch.enable_grad(), _Unbounded():
        flow = functional_call(model, state, (ones,)).sum()
    return _saliency(flow, weights)


def synflow_mask(
    model: nn.Module, input_shape: Sequence[int], rates: Mapping[str, float], sparsity: float, scope: Scope,
    costs: Mapping[str, int] | None = None, iterations: int = 100,
) -> Mask:  # fmt: skip
    """Returns the mask of SynFlow: the lowest `synflow_scores` go, little by little and scored anew each time.

    `rates` names the prunable parameters with their rates. The densities fall exponentially, density^(i /
    iterations) after the i-th of `iterations` rounds (Tanaka et al. 2020, algorithm 1); what is pruned stays so.
    The last counts are exactly those of `lth.pruning.allocate.budget` at `sparsity`. In the scope "global" no layer
    that every path goes through collapses (theorem 3); a projection shortcut may. Raises LthError as
    `synflow_scores` and `lth.pruning.threshold.masks` do, and for fewer than 1 iteration.
    """
    if iterations < 1:
        raise LthError("SynFlow takes at least one iteration", at="iterations", value=iterations, cure="Take 100.")
    mask = None
    for done in range(1, iterations + 1):
        level = sparsity if done == iterations else 1 - (1 - sparsity) ** (done / iterations)
        scores = synflow_scores(model, input_shape, rates, mask)
        mask = nested_mask(mask, scores, level, scope=scope, rates=rates, costs=costs)
    assert mask is not None
    return mask


class _Unbounded(TorchFunctionMode):
    """Takes ReLU for bounded activations while a network runs, called as modules or as functions."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if getattr(func, "__name__", "").rstrip("_") in BOUNDED and args:
            return functional.relu(args[0])
        return func(*args, **(kwargs or {}))


def _parameters(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Parameter]:
    there, names = dict(model.named_parameters()), list(names)
    missing = [name for name in names if name not in there]
    if missing:
        cure = f"The network has: {', '.join(list(there)[:8])}{' ...' * (len(there) > 8)}."
        raise LthError("the network has no such parameters", at="names", value=missing, cure=cure)
    return {name: there[name] for name in names}


def _absolute(value: Tensor) -> Tensor:
    value = value.detach()
    return value.abs().double() if value.is_floating_point() else value.clone()


def _saliency(objective: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """|gradient * weight|; 0 for a weight that takes no part."""
    if not objective.requires_grad:  # none of the weights takes part
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    gradients = torch.autograd.grad(objective, list(weights.values()), allow_unused=True)
    scores: dict[str, Tensor] = {}
    for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
        scores[name] = torch.zeros_like(weight) if gradient is None else (gradient * weight).detach().abs()
        if not scores[name].isfinite().all():
            cure = "Check the weights and the batch; a network of hundreds of layers may need smaller weights."
            raise LthError("a score is not finite", at=name, cure=cure)
    return scores


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Puts the network into evaluation mode, and every module back into the mode it came in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
