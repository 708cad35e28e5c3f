"""Small real runs with second copies."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

from lth.experiment import doers
from lth.grid.unit import Finish
from lth.grid.work import loop
from lth.runs.run import Run, open_run, start_run
from lth.spec.schema import Spec

DOCUMENT: dict[str, Any] = {
    "name": "small",
    "seeds": [0, 1],
    "data": {"source": "synthetic:examples=260,test_examples=100,size=4,noise=0.4", "batch_size": 32},
    "model": {"name": "analysis.made_network:Small"},
    "train": {"epochs": 3, "optimizer": {"name": "sgd", "lr": 0.2, "momentum": 0.9}},
    "grid": {"sparsities": [0.0, 0.8], "rewind": ["0", "1ep"], "controls": ["copy"], "controls_at": "all"},
    "execute": {"device": "cpu"},
}
CHAIN: dict[str, Any] = {
    **DOCUMENT,
    "prune": {"method": "iterative", "rate": 0.5},
    "grid": {"levels": 2, "rewind": ["1ep"], "controls": ["copy"], "controls_at": [2]},
}


def made(document: dict[str, Any], folder: Path, **changes: Any) -> Run:
    """Returns the run of a document in `folder`, all its networks trained; `changes` replace tables."""
    here, stop = start_run(folder / "run", Spec.model_validate({**document, **changes})), Event()
    loop(here, {kind: do for kind, do in doers(here, stop).items() if kind is not Finish}, stop)
    return open_run(here.path)
