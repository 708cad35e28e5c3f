"""The records of a run directory, as they stand in its JSON files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from lth.spec.step import Step

FORMAT_VERSION = 1


class Record(BaseModel):
    """A frozen record; keys a later minor version added are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Audit(Record):
    """Verdict of the invariants that were checked: name of the check -> held or not."""

    passed: bool
    checks: dict[str, bool]


class CellResult(Record):
    """`result.json` of one trained network, dense or ticket. Accuracies are fractions in [0, 1]; losses in nats.

    Densities: `density_prunable` = kept / prunable, `density_all` = non-masked / all parameters,
    `density_effective` = weights on a live path / prunable. `files` maps each artefact in
    `attempt-<attempt>/` to its sha256; `checkpoints` maps a canonical Step string to the artefact with
    the dense weights at that moment. `order` is the data stream: "dense", "fresh" or "replay".
    `control` names a variant of a ticket (`lth.spec.variants`), None the ticket. `level` counts those of iterative
    pruning; a ticket of an absolute `threshold` has no sparsity. `first_step` and `last_step` are positions in the
    learning-rate schedule, `epochs` what was trained. `early_stop_step` is the evaluation of least validation loss,
    `early_stop_test_top1` the test accuracy at the test evaluation next to it, at `early_stop_test_step`.
    `examples_per_second` is the network's own training speed, `data_share` the share of a step that went
    into its batch: medians over the rows of its metrics, unknown in results of earlier versions.
    """

    format_version: int = FORMAT_VERSION
    id: str
    kind: Literal["dense", "cell"]
    key: str
    dataset_id: str
    seed: int
    sparsity: float | None = None
    rewind: Step | None = None
    control: str | None = None
    level: int | None = None
    threshold: float | None = None
    order: str
    attempt: str
    files: dict[str, str]
    checkpoints: dict[str, str] = {}
    weights_sha256: str
    audit: Audit
    numerics: dict[str, str | int | float | bool]
    resumed_in_other_numerics: bool = False
    first_step: int
    last_step: int
    steps_per_epoch: int
    epochs: float
    seconds: float
    examples_per_second: float | None = None
    data_share: float | None = None
    host: str
    finished_at: str
    train_examples: int
    validation_examples: int
    test_examples: int
    train_top1: float
    train_loss: float
    validation_top1: float
    validation_loss: float
    test_top1: float
    test_loss: float
    early_stop_step: int
    early_stop_validation_loss: float
    early_stop_validation_top1: float
    early_stop_test_top1: float | None = None
    early_stop_test_step: int | None = None
    parameters: int
    prunable: int
    density_prunable: float = 1.0
    density_all: float = 1.0
    density_effective: float = 1.0
    collapsed: tuple[str, ...] = ()
    layer_densities: dict[str, float] = {}


class Failure(Record):
    """`failed-<n>.json`: one failed attempt. `final` means that another attempt would fail the same way."""

    format_version: int = FORMAT_VERSION
    id: str
    error: str
    message: str
    step: int | None = None
    final: bool = False
    attempt: str
    host: str
    failed_at: str


class Death(Record):
    """`died-<n>.json`: a worker was gone, its unit unfinished; `saved_ns` is when its state was last saved, 0 never."""

    format_version: int = FORMAT_VERSION
    id: str
    host: str
    pid: int
    saved_ns: int
    noticed_at: str


@dataclass(frozen=True)
class Results:
    """What a run directory holds: trained networks, other finished units, and units given up, by unit id."""

    done: Mapping[str, CellResult] = field(default_factory=dict[str, CellResult])
    finished: frozenset[str] = frozenset()
    failed: Mapping[str, Failure] = field(default_factory=dict[str, Failure])

    def settled(self, unit_id: str) -> bool:
        """Returns whether the unit needs no more work: done, finished or given up."""
        return unit_id in self.done or unit_id in self.finished or unit_id in self.failed
