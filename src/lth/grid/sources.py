"""What ready units start from: whether the files are still there, before a worker is started."""

from __future__ import annotations

from collections.abc import Iterator

from lth.errors import RunError
from lth.grid.next import parent, ready
from lth.grid.unit import Cell, Checkpoint, Dense, Unit
from lth.runs.artefacts import published_in
from lth.runs.records import CellResult, Results
from lth.runs.run import Run
from lth.spec.schema import Spec
from lth.spec.step import Step
from lth.spec.variants import variant


def check_sources(run: Run) -> None:
    """Returns nothing; raises RunError where weights or a mask that a ready unit starts from are gone, with the
    commands that make them again.

    A purge, by `lth archive` or by a site that deletes old files, leaves results without their files.
    """
    results = run.results()
    gone: dict[str, set[str]] = {}
    waiting: list[str] = []
    absent: dict[str, set[str]] = {}
    for unit in ready(run.spec, results):
        for folder, name in _sources(run.spec, unit, results):
            if folder not in absent:
                one = published_in(run, folder)
                absent[folder] = set(one.missing(run.path)) if one else set()
            if name in absent[folder]:
                gone.setdefault(folder, set()).add(name)
                waiting.append(unit.id)
    if gone:
        listing = "; ".join(f"{folder}: {', '.join(sorted(names))}" for folder, names in gone.items())
        what = f"{_units(waiting)} from files that are gone ({listing})"
        folders = " ".join(str(run.path / folder) for folder in gone)
        cure = f"Have them made again, with the same bits on the same kind of machine: rm -r {folders}; then `lth run`"
        raise RunError(what, at=run.path, cure=cure)


def _units(names: list[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - 1} more start" if len(distinct) > 1 else " starts"
    return f"{distinct[0]}{more}"


def _sources(spec: Spec, unit: Unit, results: Results) -> Iterator[tuple[str, str]]:
    """The folder and name of each file that a unit starts from."""
    dense = results.done.get(Dense(unit.seed).id) if isinstance(unit, Checkpoint | Cell) else None
    if dense is None:
        return
    home = Dense(dense.seed).folder
    if isinstance(unit, Checkpoint):
        if not unit.fresh:
            yield home, _nearest(dense, unit.step)
        return
    assert isinstance(unit, Cell)
    one, before = variant(unit.control), parent(spec, unit)
    if one is None or one.weights == "rewound":
        moment = str(unit.rewind.canonical(dense.steps_per_epoch))
        made = Checkpoint(unit.seed, unit.rewind).folder, "weights.safetensors"
        yield (home, dense.checkpoints[moment]) if moment in dense.checkpoints else made
    if one is None or one.needs_mask:
        if before is None:
            yield home, _at(dense, spec.prune.mask_from.index(dense.last_step, dense.steps_per_epoch))
        else:
            yield before.folder, "weights.safetensors"
            yield before.folder, "mask.safetensors"


def _at(dense: CellResult, step: int) -> str:
    return dense.checkpoints.get(str(Step(0, step).canonical(dense.steps_per_epoch)), "")


def _nearest(dense: CellResult, step: Step) -> str:
    """The kept state that a replay up to `step` begins at."""
    steps = {Step.parse(text).index(dense.steps_per_epoch): name for text, name in dense.checkpoints.items()}
    return steps[max(at for at in steps if at <= step.index(dense.steps_per_epoch))]
