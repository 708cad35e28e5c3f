"""How many seeds show a difference, for `lth plan --power`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from lth.errors import LthError
from lth.results.index import index
from lth.results.power import power, seeds_needed
from lth.results.spread import Spread, measured, published
from lth.results.wording import count, percent, share, size
from lth.runs.run import open_run
from lth.spec.schema import Spec

SEEDS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30)
TWO_SIDED = 0.025  # either end of a 95 % interval


def spread_of(spec: Spec, path: str, into: Path | None, sd: str | None, correlation: float | None) -> Spread:
    """Returns the spread over seeds as given, else as measured in the run directory, else as published.

    A given correlation goes before any other. Raises LthError, with the command to run first, where none is known.
    """
    if correlation is not None and not -1 < correlation < 1:
        raise LthError("not a correlation", at="--correlation", value=correlation, cure="Take one between -1 and 1.")
    if sd is not None:
        given = "as given" if correlation is not None else "as given, independence assumed"
        return Spread(points(sd, "--sd"), correlation or 0.0, given)
    folder = into or Path("runs") / spec.name
    found = _measured(folder) or published(spec.model.name)
    if found is None:
        raise LthError("how much accuracy varies over seeds is not known", at="--power", cure=_cure(spec, path, folder))
    return found if correlation is None else replace(found, correlation=correlation)


def _measured(folder: Path) -> Spread | None:
    if not (folder / "run.json").exists():
        return None
    run = open_run(folder)
    return measured(run.spec, index(run.spec, run.results()), str(folder))


def _cure(spec: Spec, path: str, folder: Path) -> str:
    levels = "grid.levels=1" if spec.iterative else f"grid.sparsities=[{spec.grid.sparsities[0]}]"
    few = ["seeds=[0, 1, 2]", levels, 'grid.rewind=["0"]', "grid.controls=[]", "select.confirm_seeds=0"]
    sets = " ".join(f"--set '{one}'" for one in few)
    elsewhere = f"{folder}-spread"
    command = f"lth run {path} --into {elsewhere} {sets}"
    return f"Give it as --sd 0.3pp, or measure it and plan with --into {elsewhere}: {command}"


def points(text: str, option: str) -> float:
    """Returns percentage points as a fraction: "0.5pp" -> 0.005. Raises LthError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*pp\s*", text)
    if match is None or not 0 < float(match[1]) < 100:
        raise LthError("not a number of percentage points", at=option, value=text, cure="Write it as 0.5pp.")
    return float(match[1]) / 100


def power_table(spec: Spec, difference: str, spread: Spread, chance: float) -> dict[str, Any]:
    """Returns, as JSON values, the power of both tests at several numbers of seeds, and the seeds that `chance` needs.

    "match": a ticket as good as dense is shown to lie within `select.tolerance`, at the alpha with which its walk
    begins. "difference": one of that size to a control is shown by the two-sided 95 % interval.
    """
    if not 0 < chance < 1:
        raise LthError("not a chance", at="--chance", value=chance, cure="Take one between 0 and 1, such as 0.8.")
    wanted, margin = points(difference, "--power"), spec.select.tolerance
    if margin == 0:
        raise LthError("no number of seeds shows a match within 0", at="select.tolerance", cure="Set it, to 0.005 say.")
    tests = {"match": (margin, (1 - spec.select.confidence) / len(spec.grid.rewind)), "difference": (wanted, TWO_SIDED)}
    shape = (spread.sd, spread.correlation)
    needs = {name: seeds_needed(gap, *shape, alpha, chance) for name, (gap, alpha) in tests.items()}
    rows = [
        {"seeds": n, **{name: round(power(n, gap, *shape, alpha), 6) for name, (gap, alpha) in tests.items()}}
        for n in sorted({*SEEDS, *(n for n in needs.values() if n is not None)})
    ]
    where = {"sd": spread.sd, "correlation": spread.correlation, "source": spread.source}
    aims = {"difference": wanted, "tolerance": margin, "alpha": tests["match"][1], "chance": chance}
    return {**where, **aims, "needs": needs, "rows": rows}


def show_power(found: dict[str, Any]) -> None:
    """Returns nothing; prints the table for people."""
    wanted, margin, alpha = size(found["difference"]), size(found["tolerance"]), share(found["alpha"])
    print("\nPower of the tests that `lth select` makes, if accuracies vary over seeds with a standard deviation of")
    print(f"{100 * found['sd']:.3g} pp, those of ticket and dense with correlation {found['correlation']:.2f}")
    print(f"({found['source']}).")
    print(f"  match       a ticket as good as dense is shown to match within {margin}, one-sided at {alpha}")
    print(f"  difference  a true difference of {wanted} is shown by the two-sided 95 % interval\n")
    print(f"{'seeds':>5}  {'match':>8}  {'difference':>10}")
    for row in found["rows"]:
        print(f"{row['seeds']:>5}  {percent(row['match'], 1):>8}  {percent(row['difference'], 1):>10}")
    match, shown = ("more than 1000 seeds" if n is None else count(n, "seed") for n in found["needs"].values())
    print(f"\nFor a chance of {share(found['chance'])}: {match} to match, {shown} to show the difference.")
