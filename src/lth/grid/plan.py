"""What a run of a spec takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lth.errors import DataError
from lth.grid.rehearsal import courses, searches
from lth.planning.cost import Plan, Scale, added_up, steps_an_epoch
from lth.planning.wall import mismatch
from lth.spec.schema import Spec

ELSEWHERE = "Take those of a run of the same data, model and batch size."


def plan(
    spec: Spec, *, train_examples: int | None = None, parameters: int | None = None,
    facts: Mapping[str, Any] | None = None, workers: int = 1,
) -> Plan:  # fmt: skip
    """Returns what `spec` takes: its trainings, epochs, steps, the bytes of weights and masks, the wall time.

    Steps need the number of training examples (validation apart), bytes that of the network's parameters, time what
    a dense network took. `facts`, the content of a run's facts.json, has them all. Raises DataError where a batch
    is larger than the training set or the facts are of other data or another network, SpecError where a moment is
    after the end.
    """
    if facts:
        if why := mismatch(spec, facts, train_examples, parameters):
            raise DataError(f"the facts are not of this experiment ({why})", at="facts.json", cure=ELSEWHERE)
        train_examples, parameters = facts.get("train_examples", train_examples), facts.get("parameters", parameters)
    steps_per_epoch = None if train_examples is None else steps_an_epoch(spec, train_examples)
    scale = Scale(spec, steps_per_epoch, parameters)
    played = courses(spec, steps_per_epoch), searches(spec, steps_per_epoch)
    return added_up(scale, *played, facts, workers)
