"""The answer of the page: its badge, its key figures, the terms it uses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lth.report.summary import Groups, title
from lth.results.estimate import Estimate, estimate
from lth.results.selection import Selection
from lth.results.wording import brackets, count, percent, points, share
from lth.runs.records import CellResult
from lth.spec.schema import Spec
from lth.spec.variants import VARIANTS

SOME_TERMS = (
    ("Density, sparsity", "the share of the prunable weights that is kept, and 1 minus that share"),
    ("Effective density", "the share of the prunable weights that lies on some live path from input to output"),
    ("Ticket", "a mask and the weights it keeps, reset to an early moment of the dense training"),
    ("Rewound to", "that moment: 0 is the initialisation, 2ep two epochs, 500it 500 optimizer steps"),
    ("Matching", "as accurate as the dense network, at the stated confidence, but for the tolerance"),
    ("Winning", "matching, rewound to 0, stopping early no later than dense, and better than reinit and shuffled mask"),
)


@dataclass(frozen=True)
class Key:
    """One key figure: its name, its value, and what belongs to it in small print."""

    name: str
    value: str
    detail: str = ""


def badge(selection: Selection) -> tuple[str, str]:
    """Returns the verdict in a few words and its tone: "good", "caution" or "plain"."""
    confirmation = selection.confirmation
    match selection.verdict:
        case "matching":
            fresh = confirmation is not None and confirmation.stage == "confirmation"
            return f"{_name(selection)}, {'confirmed' if fresh else 'not tried'} on fresh seeds", "good"
        case "not_confirmed":
            waiting = confirmation is None or confirmation.confirmed is None
            return ("Candidate, confirmation under way", "plain") if waiting else ("Not confirmed", "caution")
        case "candidate":
            return "Candidate from one seed", "caution"
        case "undecidable":
            return "Undecidable", "caution"
        case "none":
            return "No matching ticket", "caution"
        case "incomplete":
            return "Incomplete", "plain"


def _name(selection: Selection) -> str:
    if selection.verdict != "matching":
        return "Candidate"
    return "Winning ticket" if selection.winning else "Matching ticket"


def keys(groups: Groups, selection: Selection) -> list[Key]:
    """Returns the key figures of the selected ticket; none without one."""
    if selection.rewind is None or selection.density_prunable is None or selection.density_all is None:
        return []
    found = [
        Key(
            _name(selection),
            share(selection.density_prunable),
            f"of the prunable weights kept, rewound to {selection.rewind}",
        ),
        Key("Of all parameters", share(selection.density_all), _effective(selection)),
    ]
    return [*found, *_accuracies(groups, selection)]


def _effective(selection: Selection) -> str:
    return (
        f"effective density {share(selection.density_effective)} of prunable"
        if selection.density_effective is not None
        else ""
    )


def _accuracies(groups: Groups, selection: Selection) -> list[Key]:
    """Ticket, dense and their difference: on test where that may be shown, else on validation."""
    level, confirmation = selection.level, selection.confirmation
    if confirmation is not None and confirmation.difference is not None:
        where = (*groups.confirmation, *groups.at(selection.sparsity, selection.rewind))
        tickets = [one for group in where if not group.dense and group.control is None for one in group.results]
        keys = _pair("Test", selection.shown, tickets, list(groups.dense_by_seed.values()))
        fresh = "fresh seed" if confirmation.stage == "confirmation" else "seed"
        detail = _interval(confirmation.low, confirmation.high, len(confirmation.seeds), fresh)
        return [*keys, Key("Difference on test", points(confirmation.difference), detail)]
    if level is None or level.difference is None or groups.dense is None:
        return []
    ticket = next(group for group in groups.at(selection.sparsity, selection.rewind) if group.control is None)
    return [
        _accuracy("Validation accuracy, ticket", ticket.validation),
        _accuracy("Validation accuracy, dense", groups.dense.validation),
        Key("Difference on validation", points(level.difference), _interval(level.low, level.high, level.n, "seed")),
    ]


def _pair(data: str, shown: Collection[str], tickets: Sequence[CellResult], dense: Sequence[CellResult]) -> list[Key]:
    found: list[Key] = []
    for name, networks in (("ticket", tickets), ("dense", dense)):
        accuracy = estimate([one.test_top1 for one in networks if one.id in shown])
        found.append(_accuracy(f"{data} accuracy, {name}", accuracy))
    return found


def _accuracy(name: str, found: Estimate) -> Key:
    value = percent(found.mean)
    interval = found.words().removeprefix(value).strip()
    return Key(name, value, ", ".join(filter(None, [interval, count(found.n, "seed")])))


def _interval(low: float | None, high: float | None, n: int, noun: str) -> str:
    return f"{brackets((low, high))}, {count(n, noun)}" if low is not None and high is not None else count(n, noun)


def context(spec: Spec, groups: Groups) -> str:
    """Returns the line under the run's name: what was trained on what."""
    tickets = count(sum(len(group.results) for group in groups.tickets), "ticket")
    noun = "level" if spec.iterative else "sparsity"
    grid = f"{count(len(spec.grid.sparsities), noun).replace('sparsitys', 'sparsities')} × "
    grid += f"{count(len(spec.grid.rewind), 'rewind point')} × {count(len(spec.seeds), 'seed')}"
    return f"{spec.model.name} on {spec.data.source} · {tickets} trained of {grid}"


def terms(spec: Spec, groups: Groups) -> list[tuple[str, str]]:
    """Returns the terms the page uses, each with what it means: of the variants those that were trained."""
    names = dict.fromkeys(group.control for group in groups.all() if group.control is not None)
    variants = [(title(name), f"{VARIANTS[name].kind}: {VARIANTS[name].about}") for name in names]
    level = ("Level", "round of iterative pruning: train, prune a share of what is left, rewind; level 0 is dense")
    early = ("Early stop", "the evaluation of least validation loss, in steps from a training's own beginning")
    more = [*([level] if spec.iterative else []), early, *variants, ("pp", "percentage points")]
    return [*SOME_TERMS, *more]
