"""Runs of one experiment, made in several places, joined in one run directory."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from lth.errors import RunError
from lth.grid.next import parent
from lth.grid.union import union
from lth.grid.unit import Cell, Checkpoint, Dense
from lth.runs.artefacts import Published, published, published_in
from lth.runs.copying import bring, take_over
from lth.runs.files import make_folder, publish_first, write_json
from lth.runs.records import CellResult
from lth.runs.run import Run, open_run, start_run
from lth.spec.identity import differing_keys, experiment
from lth.spec.schema import Spec
from lth.spec.toml import document
from lth.spec.variants import partner


@dataclass(frozen=True)
class Conflict:
    """A unit that two runs have with different weights; `ours` stays. Both are the content of a result.json."""

    id: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    theirs_in: Path


@dataclass
class Merged:
    """What a merge did, by unit id; `left_out` and `damaged` with the reason. `absent` counts files that were gone."""

    into: Path
    copied: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    absent: int = 0

    @property
    def clean(self) -> bool:
        """Returns whether every result of every run is now in one."""
        return not self.conflicts and not self.damaged


def merge(paths: Sequence[Path], into: Path) -> Merged:
    """Returns what was done to have all results of the runs at `paths` in the run directory `into`, old or new.

    Results that are there are never touched. A result that rests on another network than ours (its seed's dense
    one, the level before) is left out. Raises RunError where the runs are not of one experiment and one data set.
    """
    others = [path for path in paths if path.resolve() != into.resolve()]
    places = [into, *others] if (into / "run.json").exists() else others
    runs = [open_run(place) for place in places]
    for other in runs[1:]:
        _check_same(runs[0], other)
    spec = reduce(union, (run.spec for run in runs))
    target = start_run(into, spec, _text(runs[0], spec))
    done = Merged(into)
    for run in runs:
        if run.path.resolve() != into.resolve():
            _join(run, target, done)
    _shown_first(target, runs)
    return done


def _check_same(one: Run, other: Run) -> None:
    if one.path.resolve() == other.path.resolve():
        raise RunError("the same run twice", at=other.path, cure="Name each run once.")
    lines = differing_keys(experiment(one.spec), experiment(other.spec), (str(one.path), str(other.path)))
    if lines:
        what = "the runs are of different experiments:\n  " + "\n  ".join(lines) + "\n"
        raise RunError(what, at=other.path, cure="Only runs that agree in all of these can be merged.")
    data = one.facts().get("dataset_id"), other.facts().get("dataset_id")
    if None not in data and data[0] != data[1]:
        cure = f"That of {one.path} is {data[0]}; results of other data cannot be compared."
        raise RunError("the data differ from those of the other run", at=other.path, value=data[1], cure=cure)


def _text(first: Run, spec: Spec) -> str:
    """The spec as it was written, or, where the grid has grown, as it is now."""
    if spec == first.spec and first.layout.spec.exists():
        return first.layout.spec.read_text()
    return "# The seeds and grids of several runs, joined by lth merge.\n" + document(spec.model_dump(mode="json"))


def _join(run: Run, target: Run, done: Merged) -> None:
    if facts := run.facts():
        make_folder(target.path)
        publish_first(target.layout.facts, json.dumps(facts, indent=1) + "\n")
    foreign: set[str] = set()  # folders whose network, or one it rests on, is another here
    for one in published(run):
        here = published_in(target, one.folder)
        rests_on = [folder for folder in _sources(target.spec, one) if folder in foreign]
        if here is not None:
            _compare(one, here, run, done, foreign)
        elif rests_on:
            foreign.add(one.folder)
            done.left_out[one.id] = f"rests on {rests_on[0]} of {run.path}, which is another network here"
        else:
            _take(one, run, target, done, foreign)
    _bring_masks(run, target, foreign)


def _take(one: Published, run: Run, target: Run, done: Merged, foreign: set[str]) -> None:
    try:
        first = take_over(one, run.path, target.path)
    except RunError as problem:
        done.damaged[one.id] = str(problem)
        return
    done.absent += len(one.missing(run.path))
    if first:
        done.copied.append(one.id)
    elif (here := published_in(target, one.folder)) is not None:  # a worker was faster
        _compare(one, here, run, done, foreign)


def _compare(theirs: Published, ours: Published, run: Run, done: Merged, foreign: set[str]) -> None:
    same = all(theirs.record.get(key) == ours.record.get(key) for key in ("key", "weights_sha256"))
    if same:
        done.equal.append(theirs.id)
    else:
        foreign.add(theirs.folder)
        done.conflicts.append(Conflict(theirs.id, ours.record, theirs.record, run.path))


def _sources(spec: Spec, one: Published) -> Iterator[str]:
    """The folders of the networks that a result was made from."""
    if one.record.get("kind") == "checkpoint":
        name = re.fullmatch(r"dense/seed(\d+)-r.*", one.folder)
        if name:  # "reinit-" comes before the r of one that was trained from scratch
            yield Dense(int(name[1])).folder
        return
    if one.record.get("kind") != "cell":
        return
    result = CellResult.model_validate(one.record)
    assert result.rewind is not None
    cell = Cell(result.sparsity, result.rewind, result.seed, result.control, result.level, result.threshold)
    seeds = [cell.seed]
    if cell.control == "other_seed" and cell.seed in (*spec.seeds, *spec.confirmation_seeds):
        seeds.append(partner(spec, cell.seed))
    for seed in seeds:
        yield Dense(seed).folder
        if (before := parent(spec, cell, seed)) is not None:
            yield before.folder
    yield Checkpoint(cell.seed, cell.rewind).folder
    yield Checkpoint(cell.seed, cell.rewind, fresh=True).folder


def _bring_masks(run: Run, target: Run, foreign: set[str]) -> None:
    """Masks of one-shot pruning follow from the dense network, and are wanted by those who look at the run."""
    root = run.path / "masks"
    for name in sorted(os.listdir(root)) if root.is_dir() else ():
        folder = f"dense/{name}"
        if folder in foreign or published_in(target, folder) is None:
            continue
        for mask in sorted(os.listdir(root / name)):
            if not mask.startswith(".") and not (target.path / "masks" / name / mask).exists():
                bring(root / name / mask, target.path / "masks" / name / mask)


def _shown_first(target: Run, runs: Sequence[Run]) -> None:
    """Test accuracies that were shown in one of the runs have been seen in this one."""
    moments = [moment for run in runs if (moment := run.describe().get("test_first_shown"))]
    head = target.describe()
    if moments and head.get("test_first_shown") != min(moments):
        write_json(target.layout.run, {**head, "test_first_shown": min(moments)})
