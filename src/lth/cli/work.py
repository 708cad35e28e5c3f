"""`lth run` and `lth work`: the commands that do the work."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from lth.grid.work import Do
    from lth.runs.run import Run
    from lth.spec.schema import Spec

NOTICED = 0.25  # a start that takes so much more or less than the last one is written down

Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Override a value: --set train.epochs=3. May be repeated.")
]


def run(
    spec: Annotated[str, typer.Argument(help="The spec, a TOML file (see `lth init`).")],
    into: Annotated[str | None, typer.Option("--into", help="Run directory; default runs/NAME.")] = None,
    set_: Sets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List units, epochs and disk; do nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="On a cluster: stay until the work is done.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Work on this machine, though it is a login node.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Run everything a spec asks for: grid, controls, selection, confirmation, report. Resumes what is there."""
    from lth.cli import tables
    from lth.grid.launchers import SUBMITTERS
    from lth.grid.status import status
    from lth.spec.load import load_spec

    wanted = load_spec(spec, set_ or [])
    if dry_run:
        if wanted.train.entry:
            from lth.training.entry import entry_function

            entry_function(wanted.train.entry)
        tables.show_plan(wanted, as_json, Path(into) if into else None)
        if wanted.execute.launcher not in SUBMITTERS:
            return
    path = Path(into or Path("runs") / wanted.name)
    if wanted.execute.launcher in SUBMITTERS:
        text, told = Path(spec).read_text(), sys.stderr if as_json else sys.stdout
        done, lines, stopped = hand_over(wanted, text, path, dry_run=dry_run, wait=wait, told=told)
        if dry_run:
            return
        if not wait and not (seen := status(done)).complete:
            return emit({**seen.as_json(), "submission": lines, "directory": str(path)}) if as_json else None
    else:
        _not_on_login_node(wanted, here)
        done, stopped = carry_out(wanted, Path(spec).read_text(), path)
    seen = status(done)
    tables.show_outcome(done, seen, as_json)
    if seen.failures:
        tables.show_failures(seen)
    if not seen.complete and (stopped or not seen.failures):
        print(f"Stopped before the end. Nothing is lost; go on with:\n  lth run {spec} --into {path}", file=sys.stderr)
        raise typer.Exit(3)
    if seen.failures:
        raise typer.Exit(1)


def hand_over(
    wanted: Spec, text: str, path: Path, *, dry_run: bool, wait: bool, told: TextIO
) -> tuple[Run, list[str], bool]:
    """Returns the run directory at `path` after its work was submitted to a scheduler, with `wait` after it is done;
    the lines about that, which were `told`; and whether waiting was stopped. Nothing is left to submit of a run that
    is complete."""
    from lth.errors import RunError
    from lth.grid.launch import stopping, submit
    from lth.grid.launchers import slurm
    from lth.grid.status import status
    from lth.runs.run import start_run

    if wait and wanted.execute.launcher != "slurm":
        cure = f"Look with: lth status {path}"
        raise RunError("waits with launcher = slurm only, which tells whose jobs are alive", at="--wait", cure=cure)
    run = start_run(path, wanted, text)
    if status(run).complete and not dry_run:
        return run, [], False
    lines = submit(run, dry_run)
    print("\n".join(lines), file=told)
    with stopping() as stop:
        if wait and not dry_run:
            slurm.wait_for(run, stop)
        return run, lines, stop.is_set()


def _not_on_login_node(wanted: Spec, here: bool) -> None:
    from lth.errors import RunError
    from lth.grid.slurm.command import on_login_node

    if not here and on_login_node():
        what = "this is a machine of a SLURM cluster, outside any job"
        cure = 'Set execute.launcher = "slurm", or say --here if training is allowed on this machine.'
        raise RunError(what, at="execute.launcher", value=wanted.execute.launcher, cure=cure)


def carry_out(wanted: Spec, text: str, path: Path) -> tuple[Run, bool]:
    """Returns the run directory at `path` after doing all that is wanted, or what was left of it, and whether it was
    told to stop; `text` is the spec as it was written."""
    from lth.cli.progress import Progress
    from lth.grid.launch import launch, stopping
    from lth.runs.run import start_run

    here = start_run(path, wanted, text)
    logging_to(here.layout.logs / "run.log", quiet=True)
    print(f"lth run: {wanted.name} in {path}", file=sys.stderr)
    with stopping() as stop, Progress(here):
        launch(here, lambda: _doers(here, stop), stop)
    return here, stop.is_set()


def work(
    directory: Annotated[str, typer.Argument(help="A run directory.")],
    wait: Annotated[bool, typer.Option("--wait", help="Stay until nobody is working any more.")] = False,
    walltime: Annotated[
        float | None, typer.Option("--walltime", min=0, help="Minutes this worker has; it saves and ends in time.")
    ] = None,
    dense: Annotated[bool, typer.Option("--dense", help="Only dense networks; leave the tickets to others.")] = False,
    parent: Annotated[int | None, typer.Option("--parent", hidden=True)] = None,
    told: Annotated[Path | None, typer.Option("--told", hidden=True)] = None,
) -> None:
    """Be a worker on a run directory: do what is ready, then end. Any number may work at once.

    Started as `torchrun --nproc-per-node N -m lth work DIRECTORY` the N processes train dense networks together.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from lth.grid.devices import own_place
    from lth.grid.launch import expect, stopping
    from lth.grid.place import place
    from lth.grid.slurm import job
    from lth.grid.status import status
    from lth.runs.run import open_run

    stands = place(os.environ)
    os.environ.update(own_place(os.environ, stands))
    here = open_run(directory)
    logging_to(None, quiet=False)
    with stopping(walltime) as stop:
        known = expect(stop, here)
        if parent is not None:
            threading.Thread(target=_end_with, args=(parent, stop), daemon=True).start()
        if told is not None:
            threading.Thread(target=_end_when_told, args=(told, stop), daemon=True).start()
        _work(here, stop, wait, dense)
    if not stop.is_set():
        logging.getLogger("lth").info("nothing more is ready here: this worker ends")
    if stop.walltime is not None:
        if stop.longest_save > known.get("save", 0.0):
            here.measured("save", {"seconds": stop.longest_save})
        if stop.first_step and not wait and abs(stop.first_step / known.get("start", 1e-9) - 1) > NOTICED:
            here.measured("start", {"seconds": stop.first_step})
    if stop.is_set() and not status(here).complete:
        if job.inside() and (stop.warned or job.preempted()):
            job.start_again(here, stop.longest_save)
        if not (stands and stands.under_mpi):  # some mpiexec kill all ranks where one ends with another code than 0
            raise typer.Exit(3)


def _work(here: Run, stop: threading.Event, wait: bool, dense: bool) -> None:
    from lth.experiment import doers  # imports torch
    from lth.grid.slurm import job
    from lth.grid.unit import Checkpoint, Dense
    from lth.grid.work import loop
    from lth.training.distributed import GroupError, joined
    from lth.training.together import work_together

    more = job.call_workers if job.inside() else None
    try:
        with joined(here.spec) as group:
            if group.world == 1:
                if (world := here.spec.execute.data_parallel) > 1:
                    told = "dense networks are left to: torchrun --nproc-per-node %d -m lth work %s"
                    logging.getLogger("lth").info(told, world, here.path)
                do = doers(here, stop)
                if dense:
                    first = {kind: one for kind, one in do.items() if kind in (Dense, Checkpoint)}
                    loop(here, first, stop, wait=wait, call_workers=more)
                if not dense or (job.inside() and job.left_alone(here)):
                    loop(here, do, stop, wait=wait, call_workers=more)
                return
            if not group.first:
                logging.getLogger("lth").setLevel("WARNING")
            work_together(here, doers(here, stop, group), stop, group, wait=wait)
    except GroupError as problem:  # not a mistake of the user's: starting again is right
        print(f"error: {problem}", file=sys.stderr)
        raise typer.Exit(1) from None


def _doers(here: Run, stop: threading.Event) -> Do:
    from lth.experiment import doers  # imports torch

    return doers(here, stop)


def _end_with(parent: int, stop: threading.Event) -> None:
    """A worker started by `lth run` does not outlive it."""
    while not stop.wait(1.0):
        if os.getppid() != parent:
            stop.set()


def _end_when_told(file: Path, stop: threading.Event) -> None:
    """A worker on another machine gets no signal: it ends when the file appears; a listing asks NFS's server anew."""
    while not stop.wait(0.5):
        with contextlib.suppress(OSError):
            if file.name in os.listdir(file.parent):
                stop.set()


def logging_to(path: Path | None, *, quiet: bool) -> None:
    """Returns nothing; sends the log to `path` (and warnings to stderr), or all of it to stderr.

    Lines name this process's rank where a launcher has started several.
    """
    from lth.grid.place import place

    stands = place(os.environ)
    rank = f"{stands} " if stands and stands.world != 1 else ""
    log = logging.getLogger("lth")
    log.setLevel(os.environ.get("LTH_LOG", "INFO").upper())
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    stderr = logging.StreamHandler(sys.stderr)
    stderr.setLevel(logging.CRITICAL if quiet else logging.DEBUG)
    targets: list[logging.Handler] = [stderr]
    if path is not None:
        from lth.runs.files import make_folder

        make_folder(path.parent)
        targets.append(logging.FileHandler(path, delay=True))
    for handler in targets:
        handler.setFormatter(logging.Formatter(f"%(asctime)s {rank}%(levelname)s %(message)s"))
        log.addHandler(handler)


def emit(value: object) -> None:
    """Returns nothing; prints one JSON object on stdout."""
    print(json.dumps(value, allow_nan=False))
