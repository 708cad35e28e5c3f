"""lth: winning lottery tickets at cluster scale. The public names are loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lth.version import __version__

_HOME = {
    "LthError": "lth.errors",
    "load_spec": "lth.spec.load",
    "Spec": "lth.spec.schema",
    "plan": "lth.grid.plan",
    "run": "lth.experiment",
    "open_run": "lth.runs.run",
    "Run": "lth.runs.run",
    "Cell": "lth.grid.unit",
    "CellResult": "lth.runs.records",
    "Mask": "lth.pruning.mask",
    "magnitude_masks": "lth.pruning.score",
    "Enforcer": "lth.pruning.enforce",
    "Ticket": "lth.tickets.ticket",
    "train": "lth.training.loop",
    "select_winner": "lth.results.select",
    "write_report": "lth.report.page",
}

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lth' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
