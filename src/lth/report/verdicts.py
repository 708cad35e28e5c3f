"""The verdict on every level, with the tests and corrections behind it, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lth.report.summary import Groups
from lth.report.table import EMPTY, Column, Field, Row, used
from lth.results.evidence import Claim, Evidence
from lth.results.selection import Selection
from lth.results.verdict import LevelVerdict
from lth.results.walk import Level
from lth.results.wording import brackets, count, points, share
from lth.spec.schema import Spec

COLUMNS = (
    Column("Density, %"),
    Column("Level"),
    Column("Rewound to"),
    Column("Verdict", words=True),
    Column("Difference to dense, pp"),
    Column("Bound, pp"),
    Column("p"),
    Column("Better than reinit"),
    Column("Better than shuffled mask"),
    Column("Early stop to dense, steps"),
    Column("Why", words=True, long=True),
)
LEADS: dict[Claim, str] = {
    "non_inferior": "Matching within the tolerance",
    "inferior": "Worse than dense by more than the tolerance",
    "superior": "Better than a control",
}


def verdict_rows(spec: Spec, groups: Groups, selection: Selection) -> tuple[list[Column], list[Row]]:
    """Returns the columns that hold anything, and a row for every level of the grid."""
    levels = {(level.rewind, level.sparsity): level for level in selection.levels}
    densities = {(group.rewind, group.sparsity): group.density for group in groups.tickets}
    rows: list[Row] = []
    for one in selection.verdicts:
        place = (one.rewind, one.sparsity)
        fields = _fields(spec, one, levels[place], densities.get(place, 1 - one.sparsity))
        rows.append(Row(fields, winner=place == (selection.rewind, selection.sparsity)))
    return used(COLUMNS, rows)


def tally(selection: Selection) -> str:
    """Returns how many levels have which verdict, and what that of the selected one is."""
    counts = Counter(one.word for one in selection.verdicts)
    seeds = count(len(selection.seeds), "seed")
    words = ", ".join(f"{n} {word}" for word, n in counts.items())
    text = f"Of {count(len(selection.verdicts), 'level')} over {seeds}: {words}."
    chosen = selection.level_verdict
    return text if chosen is None else f"{text} {chosen.sentence}"


def corrections(selection: Selection) -> list[str]:
    """Returns the tests of the table and how each is corrected for the number of levels."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for one in (evidence for verdict in selection.verdicts for evidence in verdict.evidence):
        found.setdefault((LEADS[one.claim], one.correction), {})[one.test] = None
    lines = [f"{claim}: one-sided {' or '.join(names)}; {how}." for (claim, how), names in found.items()]
    return [*lines, "Bounds are one-sided, at the confidence that its correction leaves to each."] if lines else []


def _fields(spec: Spec, one: LevelVerdict, level: Level, density: float) -> tuple[Field, ...]:
    tested = {(evidence.claim, evidence.other): evidence for evidence in one.evidence}
    decides = tested.get(("inferior", "dense")) if one.word == "worse" else tested.get(("non_inferior", "dense"))
    number = spec.level(one.sparsity)
    return (
        Field(share(density).removesuffix(" %"), density),
        EMPTY if number is None else Field(str(number), number),
        Field(str(one.rewind), one.rewind.epochs + one.rewind.iterations / 1e6),
        Field(one.word),
        _difference(level),
        EMPTY if decides is None else Field(_bound(decides), decides.bound),
        EMPTY if decides is None else Field(f"{decides.p:.2g}", decides.p),
        _better(tested.get(("superior", "reinit"))),
        _better(tested.get(("superior", "shuffled_mask"))),
        _early(one),
        Field("; ".join(_why(one))),
    )


def _difference(level: Level) -> Field:
    if level.difference is None:
        return EMPTY
    interval = "" if level.low is None or level.high is None else f" {brackets((level.low, level.high))}"
    return Field(points(level.difference).removesuffix(" pp") + interval, level.difference)


def _bound(one: Evidence) -> str:
    """The one-sided bound and the confidence that the corrections left to it."""
    return f"{points(one.bound).removesuffix(' pp')} at {share(1 - one.alpha)}"


def _better(one: Evidence | None) -> Field:
    if one is None:
        return EMPTY
    return Field(f"{'yes' if one.held else 'not shown'}, {points(one.bound)}", one.bound)


def _early(one: LevelVerdict) -> Field:
    stop = one.early_stop
    if stop is None:
        return EMPTY
    interval = "" if stop.low is None or stop.high is None else f" [{stop.low:+,.0f}, {stop.high:+,.0f}]"
    return Field(f"{stop.difference:+,.0f}{interval}".replace("-", "−"), stop.difference)


def _why(one: LevelVerdict) -> Iterator[str]:
    if one.needs:
        yield f"needs about {count(one.needs, 'seed')}"
    missing = [text for text in one.missing if not text.startswith("not shown")]  # which has columns of its own
    if one.missing:
        yield f"not winning{': ' * bool(missing)}{'; '.join(missing)}"
    if one.reason:
        yield one.reason
