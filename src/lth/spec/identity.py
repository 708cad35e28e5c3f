"""What an experiment is, apart from how often, how far and where it is run; and the keys made from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from lth.spec.schema import Spec
from lth.spec.toml import dotted, shown

Path = tuple[str, ...]

# Keys younger than the first run directories: left out while they have their default, so that no key moves.
LATER: dict[Path, object] = {
    ("train", "optimizer", "decay_norm_and_bias"): True,
    ("train", "label_smoothing"): 0.0,
    ("train", "layout"): "auto",
    ("train", "compile"): False,
    ("train", "deterministic"): True,
    ("prune", "mask_from"): "100%",
}


def experiment(spec: Spec) -> dict[str, Any]:
    """Returns, as JSON values, the part of `spec` that every result depends on.

    Left out: name, seeds, what is explored (the grid, all but its data order), selected and executed, and
    paths, for moved data are the same data: of a source with a path only its kind is kept, and the content's
    own hash is in every key. The text of a synthetic source is its content, so it stays.
    """
    part = spec.model_dump(mode="json", include={"data", "model", "train", "prune"}, exclude_none=True)
    kind = spec.data.source.partition(":")[0]
    part["data"]["source"] = spec.data.source if kind == "synthetic" else kind
    part["prune"]["exclude"] = sorted(spec.prune.exclude)
    for (*tables, key), default in LATER.items():
        table = part
        for name in tables:
            table = table[name]
        if table[key] == default:
            del table[key]
    return {**part, "grid": {"order": spec.grid.order}}


def canonical(value: object) -> str:
    """Returns the canonical JSON of `value`: sorted keys, no spaces, shortest numbers, so that 1.0 is 1.

    Raises ValueError for NaN and infinity, TypeError for what JSON has no word for.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """Returns the sha256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def unit_key(spec: Spec, dataset_id: str, coordinates: Mapping[str, object]) -> str:
    """Returns the key of one unit of work: the same wherever, in whatever grid, and from wherever its data are read."""
    return digest({"experiment": experiment(spec), "dataset": dataset_id, "unit": dict(coordinates)})


def differing_keys(
    a: dict[str, Any], b: dict[str, Any], places: tuple[str, str] = ("the run", "the spec")
) -> list[str]:
    """Returns a line for each key in which the experiments `a` and `b`, of two `places`, differ, in the order of keys.

    Such as "train.epochs: 3 in the run, 4 in the spec".
    """
    run, spec = dict(_leaves(a)), dict(_leaves(b))
    return [
        f"{dotted(path)}: {_side(run, path)} in {places[0]}, {_side(spec, path)} in {places[1]}"
        for path in sorted(run.keys() | spec.keys())
        if (path in run) != (path in spec) or canonical(run[path]) != canonical(spec[path])
    ]


def _plain(value: object) -> object:
    match value:
        case Mapping():
            table = cast(Mapping[object, object], value)
            if not all(isinstance(key, str) for key in table):
                raise TypeError("a key of canonical JSON must be a string")
            return {key: _plain(below) for key, below in table.items()}
        case list() | tuple():
            return [_plain(below) for below in cast(list[object], value)]
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case _:
            return value


def _leaves(table: dict[str, Any], above: Path = ()) -> Iterator[tuple[Path, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(cast(dict[str, Any], value), (*above, key))
        else:
            yield (*above, key), value


def _side(leaves: dict[Path, Any], path: Path) -> str:
    return shown(leaves[path]) if path in leaves else "absent"
