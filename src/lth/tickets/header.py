"""The provenance of a ticket, as it stands in the file's JSON header."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from lth.errors import TicketError
from lth.runs.records import Record
from lth.spec.step import Step
from lth.version import __version__

FORMAT_VERSION = 1
Share = Annotated[float, Field(ge=0, le=1)]
Size = Annotated[int, Field(gt=0)]


class TicketModel(Record):
    """The network: a name of the registry, or "package.module:Class" of the user's own; never imported from a file.

    `input_shape` is one example's, (channels, height, width) for images; `classes` counts the outputs.
    """

    name: str
    arguments: dict[str, bool | int | float | str] = Field(default_factory=dict)
    initialization: str = "default"
    input_shape: tuple[Size, ...] | None = None
    classes: Size | None = None


class TicketData(Record):
    """The data set: content id, kind of source ("mnist", no path), and how pixels become inputs.

    `mean` and `std` hold one number a channel, in grey levels 0 to 255; the input is (pixel - mean) / std.
    """

    dataset_id: str
    source: str
    class_names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Field(gt=0)], ...] = ()


class Accuracy(Record):
    """A top-1 accuracy as a fraction, its mean over `seeds` seeds, and an interval where one is known."""

    mean: Share
    lower: Share | None = None
    upper: Share | None = None
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    seeds: Size | None = None


class Parent(Record):
    """Where the ticket comes from: the experiment's digest, the cell's id, the hash of the cell's trained weights."""

    experiment: str
    cell: str
    weights_sha256: str


class TicketHeader(Record):
    """All that is known of a ticket beside its tensors.

    `sparsity` is the one asked for; `density_prunable` = kept / prunable weights, `density_all` = non-masked / all
    parameters, `density_effective` = weights on a live path / prunable. `seed` is the dense network's,
    `confirmed_on` the fresh seeds that confirmed the ticket. `accuracies` are keyed as in `lth select --json`
    ("validation_top1", "dense_test_top1", ...).
    """

    format_version: Literal[1] = FORMAT_VERSION
    lth_version: str = __version__
    model: TicketModel
    data: TicketData | None = None
    sparsity: Annotated[float, Field(ge=0, lt=1)]
    density_prunable: Share
    density_all: Share | None = None
    density_effective: Share | None = None
    rewind: Step
    seed: int | None = None
    confirmed_on: tuple[int, ...] = ()
    order: str | None = None
    accuracies: dict[str, Accuracy] = Field(default_factory=dict)
    verdict: str | None = None
    parent: Parent | None = None


def read_header(fields: dict[str, Any]) -> TicketHeader:
    """Returns the record of the JSON object `fields`. Raises TicketError naming the first field that is wrong."""
    try:
        return TicketHeader.model_validate(fields)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TicketError(f"wrong header: {first['msg']}", at=f"field {where!r}", value=first["input"]) from None
