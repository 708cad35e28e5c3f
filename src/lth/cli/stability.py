"""`lth stability`: linear mode connectivity, and the earliest stable rewind point."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lth.cli.inspect import AsJson, Directory
from lth.cli.work import emit, logging_to
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.analysis.connectivity import Way
    from lth.runs.run import Run

Statistics = Literal["interpolated", "re-estimated", "both"]


def stability(
    directory: Directory,
    points: Annotated[int, typer.Option("--points", min=2, help="Points on each line, both ends included.")] = 30,
    bn: Annotated[
        Statistics, typer.Option("--bn", help="What becomes of batch-norm statistics between two networks.")
    ] = "both",
    bisect: Annotated[
        bool, typer.Option("--bisect", help="Find the earliest stable rewind point; trains what that needs.")
    ] = False,
    sparsity: Annotated[
        float | None,
        typer.Option("--sparsity", min=0, max=1, help="Bisect: of the ticket; default 0, the dense network."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Bisect: the seed; default the run's first.")] = None,
    up_to: Annotated[
        str | None,
        typer.Option("--up-to", help='Bisect: the latest moment, such as "4ep"; default half of training.'),
    ] = None,
    resolution: Annotated[
        str | None, typer.Option("--resolution", help='Bisect: where to end, such as "10it"; default 1 % of training.')
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say from which rewind point on two copies of a network end in one linearly connected minimum.

    Shows test errors, of tickets that nothing is selected by.
    """
    from lth.runs.run import open_run

    run = open_run(directory)
    ways: tuple[Way, ...] = ("interpolated", "re-estimated") if bn == "both" else (bn,)
    asked = {"--sparsity": sparsity, "--seed": seed, "--up-to": up_to, "--resolution": resolution}
    if bisect:
        return _bisect(run, points, ways, asked, as_json)
    _refuse_idle(asked)
    from lth.analysis.stability import stability as analyse
    from lth.cli.stability_tables import show_stability

    found = analyse(run, points=points, ways=ways, told=_tell)
    run.test_shown()
    emit(found.as_json()) if as_json else show_stability(found)


def _bisect(run: Run, points: int, ways: tuple[Way, ...], asked: dict[str, Any], as_json: bool) -> None:
    from lth.analysis.bisection import Bisection, Probe, bisect, level_of
    from lth.cli.probing import Prober
    from lth.grid.launch import stopping

    seed = run.spec.seeds[0] if asked["--seed"] is None else asked["--seed"]
    level = level_of(run.spec, asked["--sparsity"])
    logging_to(run.layout.logs / "run.log", quiet=True)
    probes: list[Probe] = []
    with stopping() as stop:
        prober = Prober(run, level, seed, points, ways, stop)
        last = prober.step(asked["--up-to"], prober.last // 2, "--up-to")
        apart = max(1, prober.step(asked["--resolution"], math.ceil(prober.last / 100), "--resolution"))
        for probe in bisect(prober.probe, last, apart):
            probes.append(probe)
            _tell(probe.line) if as_json else print(probe.line, flush=True)
    run.test_shown()
    found = Bisection(tuple(probes), apart)
    emit(found.as_json()) if as_json else print("\n".join(found.sentences))


def _refuse_idle(asked: dict[str, Any]) -> None:
    for option, value in asked.items():
        if value is not None:
            cure = "Add --bisect, or drop it."
            raise LthError("would be ignored without --bisect", at=option, value=value, cure=cure)


def _tell(line: str) -> None:
    """What is going on is said on stderr, so that it can be told from the result."""
    print(line, file=sys.stderr, flush=True)
