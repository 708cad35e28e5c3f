"""A pair of networks measured: its barrier, and how far the signs agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lth.analysis.cache import Cache
from lth.analysis.connectivity import BATCHES, PARTS, POINTS, WAYS, Barrier, Line, Way, barrier
from lth.analysis.networks import mask_of, trained_state
from lth.analysis.overlap import sign_agreement
from lth.analysis.pairs import Pair
from lth.data.loader import Part
from lth.training.workspace import Workspace

Told = Callable[[str], None]


def nobody(line: str) -> None:
    """Returns nothing, and tells nobody."""


@dataclass(frozen=True)
class Measured:
    """A pair with its barrier, and the share of equal signs among the weights that both keep."""

    pair: Pair
    barrier: Barrier
    signs: float


def measure(
    work: Workspace, cache: Cache, pair: Pair, points: int = POINTS, ways: Sequence[Way] = WAYS, told: Told = nobody
) -> Measured:
    """Returns the barrier and the sign agreement of a pair, of which only what the cache lacks is computed.

    `told` hears of the pair where something is.
    """
    hashes = f"{pair.first.weights_sha256} {pair.second.weights_sha256}"
    key = f"barrier {hashes} points={points} batches={BATCHES}"
    entry = cache.get(key) or {"first": pair.first.id, "second": pair.second.id, "batch_norm": True, "lines": {}}
    missing: list[Way] = [way for way in ways if way not in entry["lines"]]
    if missing:
        told(f"{pair.first.id} to {pair.second.id}")
        made = _barrier(work, pair, points, missing)
        new = {way: {part: line.as_json() for part, line in one.items()} for way, one in made.lines.items()}
        entry = {**entry, "batch_norm": made.batch_norm, "lines": {**entry["lines"], **new}}
        cache.put(key, entry)
    signs = cache.once(f"signs {hashes}", lambda: _signs(work, pair))
    return Measured(pair, Barrier(_lines(entry, ways), entry["batch_norm"]), signs)


def _lines(entry: Mapping[str, Any], ways: Sequence[Way]) -> dict[Way, dict[Part, Line]]:
    return {way: {part: Line.of_json(entry["lines"][way][part]) for part in PARTS} for way in ways}


def _barrier(work: Workspace, pair: Pair, points: int, ways: Sequence[Way]) -> Barrier:
    seed = pair.second.seed
    model = work.model(seed)
    first, second = trained_state(work.run, pair.first), trained_state(work.run, pair.second)
    precision = work.spec.train.precision
    return barrier(model, first, second, work.resident(seed), points=points, ways=ways, precision=precision)


def _signs(work: Workspace, pair: Pair) -> float:
    """Copies stand on one mask; levels are nested, so that what the later one keeps both keep."""
    first, second = trained_state(work.run, pair.first), trained_state(work.run, pair.second)
    return sign_agreement(first, second, [mask_of(work.run, pair.first if pair.kind == "copies" else pair.second)])
