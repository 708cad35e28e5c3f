"""A small real training that is pruned, rewound and retrained as a cell is, for the audit to judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lth.pruning.audit import check_mask, check_rewound, check_trained, verdict
from lth.pruning.enforce import Enforcer
from lth.pruning.mask import Mask
from lth.pruning.score import magnitude_masks

NAMES = ["conv.weight", "fc1.weight", "output.weight"]
RATES = dict.fromkeys(NAMES, 1.0)
Change = Callable[["Net"], None]


class Net(nn.Module):
    def __init__(self, groups: int = 4):
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding=1, groups=groups)
        self.norm = nn.BatchNorm2d(8)
        self.fc1 = nn.Linear(8 * 16, 64)
        self.output = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.fc1(self.norm(self.conv(x)).relu().flatten(1)).relu())


def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(256, 4, 4, 4, generator=generator)
    return x, x.flatten(1)[:, :3].argmax(1)


def state_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, each: Change = lambda model: None) -> None:
    x, y = data()
    for step in range(steps):
        batch = slice(step * 32 % 256, step * 32 % 256 + 32)
        optimizer.zero_grad()
        cross_entropy(model(x[batch]), y[batch]).backward()
        each(model)
        optimizer.step()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.005)


@dataclass
class Found:
    """What the run did, for the audit to judge."""

    checkpoint: dict[str, Tensor]
    final: dict[str, Tensor]
    mask: Mask
    checks: list[dict[str, bool]] = field(default_factory=list)

    @property
    def broken(self) -> set[str]:
        audit = verdict(*self.checks)
        assert audit.passed == all(audit.checks.values())
        return {name for name, held in audit.checks.items() if not held}


def dense() -> Found:
    """A dense network: its weights at the rewind point and at the end, and its mask."""
    torch.manual_seed(0)
    model = Net()
    optimizer = sgd(model)
    train(model, optimizer, 4)
    checkpoint = state_of(model)
    train(model, optimizer, 40)
    final = state_of(model)
    return Found(checkpoint, final, magnitude_masks(final, [0.8], scope="layerwise", names=NAMES)[0.8])


def retrain(
    found: Found, *, make=adam, start: dict[str, Tensor] | None = None, model: Net | None = None,
    enforced: bool = True, each: Change = lambda model: None, mask: Mask | None = None,
) -> Found:  # fmt: skip
    """Rewinds, masks, trains, and audits after each, as a cell does."""
    model, mask = model or Net(), mask or found.mask
    model.load_state_dict(found.checkpoint if start is None else start)
    optimizer = make(model)
    enforcer = Enforcer(model, mask, optimizer)
    if not enforced:
        enforcer.remove()
    rewound = state_of(model)
    found.checks = [
        check_mask(mask, found.final, 0.8, "layerwise", RATES, set(NAMES)),
        check_rewound(rewound, found.checkpoint, mask),
    ]
    train(model, optimizer, 30, each)
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    found.checks.append(
        check_trained(state_of(model), found.checkpoint, mask, gradients, state_by_name(model, optimizer))
    )
    return found


def state_by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """The optimizer's state: name of the state -> parameter -> values."""
    state: dict[str, dict[str, Tensor]] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state.setdefault(key, {})[name] = value
    return state
