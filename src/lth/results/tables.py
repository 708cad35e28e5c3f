"""Flat tables of a run: one row a trained network, in CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from lth.results.wording import listed
from lth.runs.files import atomic_write
from lth.runs.records import CellResult, Results
from lth.spec.step import Step

PLAIN = (
    "id", "kind", "control", "sparsity", "level", "threshold", "rewind", "seed", "order", "density_prunable",
    "density_all", "density_effective", "validation_top1", "validation_loss", "train_top1", "train_loss",
    "early_stop_step", "early_stop_validation_top1", "early_stop_validation_loss", "first_step", "last_step",
    "steps_per_epoch", "epochs", "seconds", "parameters", "prunable", "train_examples", "validation_examples",
    "resumed_in_other_numerics", "weights_sha256", "key", "dataset_id", "attempt", "host", "finished_at",
)  # fmt: skip
TEST = ("test_examples", "test_top1", "test_loss", "early_stop_test_top1", "early_stop_test_step")

Row = Mapping[str, Any]


def rows(results: Results, shown: Collection[str] = ()) -> list[dict[str, Any]]:
    """Returns a row for each trained network, dense ones first; all have the same columns, in the same order.

    Test columns exist only where `shown` names networks, and hold values only in their rows: before selection
    nobody sees a test accuracy, and after it only those of the selected ticket, dense and their confirmation
    (`Selection.shown`). Per-layer densities are `density_<layer>`; parts of the numerics class `numerics_<part>`.
    """
    ordered = sorted(results.done.values(), key=_rank)
    layers = list(dict.fromkeys(name for result in ordered for name in result.layer_densities))
    numerics = list(dict.fromkeys(name for result in ordered for name in result.numerics))
    return [_row(result, shown, layers, numerics) for result in ordered]


def _rank(result: CellResult) -> tuple[bool, Step, float, str, int]:
    return result.kind != "dense", result.rewind or Step(), result.sparsity or 0.0, result.control or "", result.seed


def _row(result: CellResult, shown: Collection[str], layers: Sequence[str], numerics: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(result, name) for name in PLAIN}
    row["rewind"] = None if result.rewind is None else str(result.rewind)
    row["collapsed"] = listed(result.collapsed)
    row["audit_passed"] = result.audit.passed
    row["audit_broken"] = listed(name for name, held in result.audit.checks.items() if not held)
    if shown:
        row |= {name: getattr(result, name) if result.id in shown else None for name in TEST}
    row |= {f"density_{_snake(name)}": result.layer_densities.get(name) for name in layers}
    return row | {f"numerics_{_snake(name)}": result.numerics.get(name) for name in numerics}


def _snake(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name).lower()


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Returns nothing; `path` holds the rows under one header, an absent value as an empty field."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(path, text.getvalue())


def write_json(path: Path, rows: Sequence[Row]) -> None:
    """Returns nothing; `path` holds the rows as one JSON list of objects."""
    atomic_write(path, json.dumps([dict(row) for row in rows], indent=1, allow_nan=False) + "\n")
