"""What `lth stability` prints for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from lth.analysis.likeness import Likeness
from lth.analysis.rows import Row
from lth.analysis.stability import Stability
from lth.cli.tables import percent
from lth.results.estimate import Estimate
from lth.results.wording import share

TITLES = {
    "seeds": "Masks of two seeds, and the signs of the weights that both keep",
    "moments": "The mask of the dense weights at a moment against the run's own, and the signs of what that keeps",
    "start": "Signs of trained tickets, against the weights they started from",
}


def show_stability(found: Stability) -> None:
    """Returns nothing; prints barriers, verdicts and likenesses."""
    copies = [row for row in found.rows if row.kind == "copies"]
    levels = [row for row in found.rows if row.kind == "levels"]
    if copies:
        _barriers("Two copies of a network, trained from the rewind point in different data orders", copies)
        print(f"(instability: largest error of {found.points} points on the line between, less the mean of its ends)")
        print()
        print("\n".join(one.sentence for one in found.earliest))
    if levels:
        _barriers("\n" * bool(copies) + "Levels n and n + 1 of iterative pruning", levels)
    for what, title in TITLES.items():
        if chosen := [one for one in found.likenesses if one.what == what]:
            _alike(title, chosen)


def _barriers(title: str, rows: Sequence[Row]) -> None:
    norms, several = any(row.batch_norm for row in rows), any(len(row.seeds) > 1 for row in rows)
    columns = ["network", "rewind to", "seeds", *["batch norm"] * norms, "train", "test"]
    table = _table([*columns, *["95 % interval"] * several, "equal signs", "stable"])
    for row in rows:
        test = row.instability["test"]
        shown = [_network(row), str(row.rewind), str(len(row.seeds)), *[row.way] * norms]
        numbers = [percent(row.instability["train"].mean), percent(test.mean), *[_interval(test)] * several]
        table.add_row(*shown, *numbers, percent(row.signs.mean, 1), "yes" if row.stable else "no")
    _print(title, table)


def _alike(title: str, found: Sequence[Likeness]) -> None:
    overlap = found[0].overlap is not None
    table = _table(["sparsity", "moment", "n", *["shared weights", "by chance"] * overlap, "equal signs"])
    for one in found:
        shared = [percent(one.overlap, 1), percent(one.by_chance, 1)] if overlap else []
        table.add_row(share(one.sparsity), str(one.moment), str(one.n), *shared, percent(one.signs, 1))
    _print(f"\n{title}", table)


def _network(row: Row) -> str:
    if row.kind == "levels" and row.level is not None:
        return f"level {row.level - 1} to {row.level} ({share(1 - row.sparsity)} left)"
    return "dense" if row.sparsity == 0 else f"sparsity {share(row.sparsity)}"


def _interval(one: Estimate) -> str:
    return "" if one.low is None or one.high is None else f"{100 * one.low:.2f} to {100 * one.high:.2f} %"


def _table(columns: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _print(title: str, table: Table) -> None:
    print(title)
    Console(width=None if sys.stdout.isatty() else 120, highlight=False, emoji=False).print(table)
