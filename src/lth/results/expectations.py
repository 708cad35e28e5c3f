"""The rows of a reproduction in words, and as a Markdown table with what made it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from lth.results.bands import Band, Row
from lth.results.measures import MEASURES, Unit
from lth.results.wording import count, listed, named_seeds
from lth.runs.records import Results
from lth.spec.schema import Spec

HEAD = ("what", "paper", "band", "ours", "95 % interval", "")


def cells(row: Row) -> tuple[str, str, str, str, str, str]:
    """Returns the row in words, in the columns of HEAD."""
    unit, ours = MEASURES[row.band.measure].unit, row.ours
    mine = "-" if ours is None else amount(ours.mean, unit)
    interval = "" if ours is None or ours.low is None or ours.high is None else span(ours.low, ours.high, unit)
    return row.band.what, row.band.paper, limits(row.band), mine, interval, row.verdict


def limits(band: Band) -> str:
    """Returns the band in words: "25 to 60 %", "at least 1.1x"."""
    unit = MEASURES[band.measure].unit
    if band.low is None or band.high is None:
        word, limit = ("at most", band.high) if band.low is None else ("at least", band.low)
        return f"{word} {amount(limit or 0.0, unit)}"
    return span(band.low, band.high, unit)


def amount(value: float, unit: Unit) -> str:
    """Returns a number in its unit: 0.9821 percent -> "98.21 %", 0.0031 points -> "+0.31 pp"."""
    number = _number(value, unit)
    return f"{number}x" if unit == "times" else f"{number} pp" if unit in ("points", "error") else f"{number} %"


def span(low: float, high: float, unit: Unit) -> str:
    """Returns two numbers in their unit: "+0.20 to +1.00 pp"."""
    return f"{_number(low, unit)} to {amount(high, unit)}"


def _number(value: float, unit: Unit) -> str:
    if math.isinf(value):
        return "∞"
    match unit:
        case "points":
            return f"{100 * value:+.2f}".replace("-", "−")
        case "error":
            return f"{100 * value:.3g}"
        case "percent":
            return f"{100 * value:.2f}"
        case "share":
            return f"{100 * value:.3g}".replace("-", "−")
        case "times":
            return f"{value:.2f}".replace("-", "−")


def markdown(found: Sequence[Row], spec: Spec, results: Results, command: str) -> str:
    """Returns a Markdown table of the rows, after what made it: command, hardware, seeds, time."""
    lines = [f"`{command}`  ", f"{made_by(spec, results)}", ""]
    lines += ["| " + " | ".join((*HEAD[:-1], "verdict", "source")) + " |", "|---" * (len(HEAD) + 1) + "|"]
    for row in found:
        words = [*cells(row)[:-1], f"**{row.verdict}**" if row.verdict != "inside" else row.verdict, row.band.source]
        lines.append("| " + " | ".join(word.replace("|", "\\|") for word in words) + " |")
    notes = [f"- {row.band.what}: {row.note}" for row in found if row.note]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def made_by(spec: Spec, results: Results) -> str:
    """Returns one sentence on what trained the networks, how many, on which seeds, and how long it took."""
    return "; ".join(_made_by(spec, results)) + "."


def _made_by(spec: Spec, results: Results) -> Iterator[str]:
    done = list(results.done.values())
    if done:
        yield listed(dict.fromkeys(str(one.numerics.get("device", "unknown device")) for one in done))
        yield f"torch {listed(dict.fromkeys(str(one.numerics.get('torch', 'unknown')) for one in done))}"
    yield named_seeds(spec.seeds)
    yield count(len(done), "network")
    if done:
        yield f"{sum(one.seconds for one in done) / 3600:.2f} h of training in all"
        yield f"finished {max(one.finished_at for one in done)[:10]}"


def as_json(row: Row) -> dict[str, Any]:
    """Returns the row for scripts; accuracies and differences are fractions."""
    band, ours = row.band, row.ours
    interval = None if ours is None or ours.low is None else [ours.low, ours.high]
    value = None if ours is None or math.isinf(ours.mean) else ours.mean
    return {
        "what": band.what, "paper": band.paper, "source": band.source, "low": band.low, "high": band.high,
        "ours": value, "interval": interval, "verdict": row.verdict, "note": row.note,
    }  # fmt: skip
