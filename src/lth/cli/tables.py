"""What the commands print for people."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lth.cli.work import emit
from lth.errors import LthError
from lth.grid.status import Status
from lth.runs.run import Run
from lth.spec.schema import Spec

if TYPE_CHECKING:
    from lth.planning.cost import Plan
    from lth.results.selection import Selection
    from lth.results.walk import Level


def _console() -> Console:
    """A console as wide as its terminal, and never narrower than a table without one."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False, emoji=False)


RANKED = {
    "global": "over all of them together",
    "layerwise": "in each layer by itself",
    "erk": "in each layer, at its Erdős–Rényi-kernel density",
    "flops": "in each layer, so that all keep the same multiply-adds",
}


def _table(*columns: str, left: int = 1) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < left else "right")
    return table


def percent(value: float | None, digits: int = 2) -> str:
    """Returns a fraction as per cent: 0.9731 -> "97.31 %"."""
    return "-" if value is None else f"{100 * value:.{digits}f} %"


def show_plan(spec: Spec, as_json: bool, into: Path | None = None, more: Mapping[str, object] | None = None) -> None:
    """Returns nothing; prints what a run of the spec would take, with steps and disk where the data can be read.

    With the wall time, where the run directory `into` (default runs/NAME) has measured facts. `more` joins the JSON.
    """
    from lth.grid.next import wanted
    from lth.grid.plan import plan
    from lth.grid.work import worker_count
    from lth.planning.wall import mismatch
    from lth.runs.records import Results

    run = Run(into or Path("runs") / spec.name, spec)
    examples, parameters, remark = _sizes(spec)
    facts = run.facts()
    why = mismatch(spec, facts, examples, parameters)
    known = None if why else facts
    cost = plan(spec, train_examples=examples, parameters=parameters, facts=known, workers=worker_count(run))
    first = [unit.id for unit in wanted(spec, Results())]
    if as_json:
        return emit({**cost.as_json(), "units": first, **(more or {})})
    head, *rows = cost.rows()
    table = _table(*head)
    for row in rows:
        table.add_row(*row)
    console = _console()
    console.print(table)
    console.print(f"\nUnits: {', '.join(first[:3])}, ... {first[-1]}; controls and confirmation follow the selection.")
    console.print(f"At most {cost.most_at_once} trainings at once; the longest chain is {_chain(cost)}.")
    if cost.searched_tickets is not None:
        console.print(f"The adaptive search may come to about {cost.searched_tickets} of those tickets.")
    if cost.steps_per_epoch is None:
        console.print(f"Steps and disk are unknown: {remark}")
    _show_time(console, run, cost, why)


def _chain(cost: Plan) -> str:
    if cost.longest_chain_epochs is None:
        return f"{cost.longest_chain_steps:,} steps"
    return f"{cost.longest_chain_epochs:g} epochs"


def _show_time(console: Console, run: Run, cost: Plan, why: str) -> None:
    from lth.planning.wall import FORMULA, settings_to_measure

    if cost.time is None:
        other = f" (the facts in {run.path} are not of this experiment: {why})" if why else ""
        sets = " ".join(f"--set '{one}'" for one in settings_to_measure(run.spec, cost.steps_per_epoch))
        elsewhere = f"runs/{run.spec.name}-measured"
        console.print(
            f"\nThe wall time is not known yet{other}: a dense network has to be trained first. For a quick one:"
        )
        print(f"  lth run SPEC --into {elsewhere} {sets}\n  lth run SPEC --into {elsewhere} --dry-run")
        return
    time = cost.time
    step = f"{1000 * time.seconds_per_step:.3g} ms a step of a ticket, {time.tickets_together} in lockstep"
    dense = f"the first {duration(time.dense_seconds)} of it dense networks alone"
    console.print(f"\nPredicted from what was measured in {run.path} on {time.device} ({step}):")
    console.print(f"  with 1 worker   {duration(time.serial_seconds)}, {dense}")
    if time.workers > 1:
        chain = f"the longest chain alone takes {duration(time.longest_chain_seconds)}"
        console.print(f"  with {time.workers} workers  {duration(time.seconds)}; {chain}")
    print(FORMULA)


def duration(seconds: float) -> str:
    """Returns the time in the largest unit that leaves a number of at least 2."""
    for unit, one in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * one:
            return f"{seconds / one:.3g} {unit}"
    return f"{seconds:.3g} s"


def _sizes(spec: Spec) -> tuple[int | None, int | None, str]:
    """Training examples and parameters, or None for both and the reason."""
    try:
        from lth.training.shape import shape

        found = shape(spec)
    except LthError as problem:
        return None, None, str(problem)
    return found.train_examples, found.parameters, ""


def show_scope(spec: Spec, as_json: bool) -> None:
    """Returns nothing; prints which layers the spec prunes, with the reason for those it does not."""
    from lth.models.prunable import scope_table
    from lth.training.shape import shape

    found = shape(spec)
    rows = scope_table(found.model, spec.prune, found.input_shape)
    pruned = sum(row["weights"] for row in rows if row["prunable"] == "yes")
    if as_json:
        summary = {"layers": rows, "scope": spec.prune.scope, "parameters": found.parameters, "prunable": pruned}
        return emit(summary)
    table = _table("layer", "role", "shape", "weights", "share", "multiply-adds", "rate", "prunable", left=2)
    table.columns[-1].justify = "left"
    table.columns[0].overflow = "fold"  # a name cut short names nothing
    for row in rows:
        rate = "" if row["rate"] is None else f"{row['rate']:g}"
        shape_text = "x".join(map(str, row["shape"]))
        numbers = (f"{row['weights']:,}", percent(row["share"], 1), f"{row['multiply_adds']:,}")
        table.add_row(row["layer"], row["role"], shape_text, *numbers, rate, row["prunable"])
    console = _console()
    console.print(table)
    kind = RANKED[spec.prune.scope]
    share = percent(pruned / found.parameters, 1)
    console.print(
        f"\n{pruned:,} of {found.parameters:,} parameters are prunable ({share}); ranked by magnitude {kind}."
    )


def show_status(run: Run, seen: Status) -> None:
    """Returns nothing; prints the counts, and what failed."""
    console = _console()
    state = "complete" if seen.complete else "incomplete"
    console.print(f"{run.spec.name} in {run.path}: {state}")
    console.print(f"dense networks {seen.dense_done}/{seen.dense}")
    table = _table("cells", "done", "running", "waiting", "failed", left=0)
    table.add_row(*(str(value) for value in seen.as_json().values()))
    console.print(table)
    if line := speed(run):
        console.print(line)
    show_failures(seen)


def speed(run: Run) -> str:
    """Returns a line on how fast the networks were trained, and which waited longest for data; "" if unknown."""
    timed = [result for result in run.results().done.values() if result.examples_per_second is not None]
    if not timed:
        return ""
    usual = median(result.examples_per_second or 0.0 for result in timed)
    slowest = max(timed, key=lambda result: result.data_share or 0.0)
    wait = f"data took at most {percent(slowest.data_share, 1)} of a step ({slowest.id})"
    return f"median {usual:,.0f} examples/s a network; {wait}"


def show_failures(seen: Status) -> None:
    """Returns nothing; prints each failed unit with the first line of its reason, on stderr."""
    for unit, message in seen.failures.items():
        print(f"failed: {unit}: {message.splitlines()[0]}", file=sys.stderr)
    if seen.failures:
        print("To have a failed unit tried again, delete its folder in the run directory.", file=sys.stderr)


def show_selection(run: Run, selection: Selection) -> None:
    """Returns nothing; prints the best level of each rewind point, the answer in a sentence, and the notes."""
    console = _console()
    table = _table("rewind to", "sparsest match", "ticket", "dense", "difference", "95 % interval", left=1)
    levels = {(level.rewind, level.sparsity): level for level in selection.levels}
    for rewind, sparsity in selection.candidates:
        level = None if sparsity is None else levels[rewind, sparsity]
        table.add_row(str(rewind), *_level(level))
    if selection.candidates:
        console.print(table)
        console.print(f"(validation accuracy, mean over the grid's seeds; {_tally(selection)})\n")
    _say(selection.sentence)
    if (verdict := selection.level_verdict) is not None:
        _say(verdict.sentence)
        for line in verdict.details:
            _say(f"- {line}", "  ")
    axis = [selection.rewind_axis.sentence] if selection.rewind_axis else []
    at_winner = [one for one in selection.controls if one.sparsity == selection.sparsity]
    fresh = [one for one in at_winner if one.data == "test"] or at_winner
    beside = [one for one in selection.arms if (one.sparsity, one.rewind) == (selection.sparsity, selection.rewind)]
    for line in (*axis, *(one.sentence for one in (*fresh, *beside)), *selection.notes):
        _say(f"- {line}", "  ")


def _tally(selection: Selection) -> str:
    """How many levels have which verdict: "60 levels matching, 5 worse, 35 undecided"."""
    words = [one.word for one in selection.verdicts]
    counts = [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
    return f"of {len(words)} levels {', '.join(counts)}"


def _say(text: str, indent: str = "") -> None:
    """Prints a sentence in lines that fit, and no spaces at their ends."""
    print(textwrap.fill(text, min(120, shutil.get_terminal_size((120, 24)).columns), subsequent_indent=indent))


def _level(level: Level | None) -> tuple[str, ...]:
    if level is None:
        return "none", "", "", "", ""
    points = "" if level.difference is None else f"{100 * level.difference:+.2f} pp"
    if level.low is None or level.high is None:
        return percent(level.sparsity, 0), percent(level.ticket), percent(level.dense), points, ""
    interval = f"{100 * level.low:+.2f} to {100 * level.high:+.2f} pp"
    return percent(level.sparsity, 0), percent(level.ticket), percent(level.dense), points, interval


def show_outcome(run: Run, seen: Status, as_json: bool) -> None:
    """Returns nothing; prints the end of `lth run`: table, winner, where ticket and report lie."""
    from lth.results.select import select_winner

    selection = select_winner(run.spec, run.results())
    page = run.layout.report / "index.html"
    if as_json:
        paths: dict[str, str | None] = {"directory": str(run.path), "report": str(page) if page.exists() else None}
        return emit({**seen.as_json(), "selection": selection.as_json(), **paths})
    if not seen.complete:
        return
    show_selection(run, selection)
    for name, path in (("ticket", run.layout.ticket), ("report", page)):
        if Path(path).exists():
            print(f"{name + ':':<8} {path}")
