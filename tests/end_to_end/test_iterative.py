"""Iterative pruning: chains of levels, held against plain PyTorch, extended, cut short, and killed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from end_to_end.conftest import hashes
from end_to_end.plain import LAST, SPEC, K, Masks, Plain, assert_same, layerwise, trained

from lth.experiment import run as run_spec
from lth.grid.status import status
from lth.pruning.mask import Mask

PRUNE = {"method": "iterative", "rate": 0.4}
GRID = {
    "sparsities": None, "levels": 3, "rewind": ["0", "1ep"], "arms": ["lrr"],
    "controls": ["reinit", "shuffled_mask", "copy"], "controls_at": [2],
}  # fmt: skip
NAMES = ("0", range(LAST)), ("1ep", range(K, LAST))


def grid(**changes: object) -> dict[str, object]:
    return {key: value for key, value in {**GRID, **changes}.items() if value is not None}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """A run of three levels at two rewind points, with an arm that keeps the trained weights."""
    return trained(tmp_path_factory.mktemp("iterative") / "run", prune=PRUNE, grid=grid())


def masks_of(plain: Plain, level: int, rewind: str, end: str = "") -> Masks:
    """The masks of a level: so much of what the level before keeps, ranked by its own trained weights."""
    if level == 1:
        return layerwise(plain.dense("3ep"), 0, rate=0.4)
    before = masks_of(plain, level - 1, rewind, end)
    return layerwise(plain.weights(f"l{level - 1:02}-r{rewind}-seed0{end}"), 0, before, rate=0.4)


@pytest.mark.parametrize(("rewind", "steps"), NAMES)
@pytest.mark.parametrize("level", [1, 2, 3])
def test_each_level_is_pruned_from_the_one_before_and_rewound(
    plain: Plain, level: int, rewind: str, steps: range
) -> None:
    masks = masks_of(plain, level, rewind)
    wanted = plain.train(plain.dense("0ep" if rewind == "0" else rewind), masks, steps, f"ticket-l{level}")
    assert_same(plain.weights(f"l{level:02}-r{rewind}-seed0"), wanted)
    name = f"l{level:02}-r{rewind}-seed0"
    assert Mask.load(plain.run.artefact(plain.done[name], "mask.safetensors")) == Mask(masks)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_learning_rate_rewinding_goes_on_from_its_own_chain(plain: Plain, level: int) -> None:
    start = plain.dense("3ep") if level == 1 else plain.weights(f"l{level - 1:02}-r1ep-seed0-lrr")
    wanted = plain.train(start, masks_of(plain, level, "1ep", "-lrr"), range(K, LAST), f"ticket-l{level}")
    assert_same(plain.weights(f"l{level:02}-r1ep-seed0-lrr"), wanted)


def test_controls_stand_on_the_ticket_of_their_level_and_share_its_data(plain: Plain) -> None:
    masks = masks_of(plain, 2, "1ep")
    assert_same(plain.weights("l02-r1ep-seed0-reinit"), plain.train(plain.fresh(), masks, range(LAST), "ticket-l2"))
    wanted = plain.train(plain.dense("1ep"), masks, range(K, LAST), "copy-l2")
    assert_same(plain.weights("l02-r1ep-seed0-copy"), wanted)
    assert {result.level for result in plain.done.values() if result.control in ("reinit", "copy")} == {2}


def test_every_audit_passes_and_says_that_levels_are_nested(plain: Plain) -> None:
    for name, result in plain.done.items():
        assert result.audit.passed, (name, result.audit.checks)
        own_mask = result.control in (None, "reinit", "lrr", "copy")
        nested = result.level is not None and result.level > 1 and own_mask
        assert ("nested_in_previous_level" in result.audit.checks) == nested, name


def test_a_longer_chain_trains_only_the_new_levels(plain: Plain, tmp_path: Path) -> None:
    shorter = trained(tmp_path / "run", prune=PRUNE, grid=grid(levels=2))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").glob("*/l*/result.json")}
    run_spec(plain.run.spec, tmp_path / "run")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert hashes(tmp_path / "run") == hashes(plain.run.path)
    assert len(shorter.done) < len(hashes(plain.run.path))


def test_a_chain_ends_below_an_accuracy(tmp_path: Path) -> None:
    noisy = {"source": "synthetic:examples=150,test_examples=30,classes=3,size=5,noise=0.97"}
    alone = grid(min_accuracy=0.999, controls=None, controls_at=None, arms=None)
    cut = trained(tmp_path / "run", prune=PRUNE, grid=alone, data={**SPEC["data"], **noisy})
    tickets = {name: result for name, result in cut.done.items() if result.kind == "cell"}
    assert len(tickets) == 2 * 2  # rewind points x seeds: none went on after its first level
    assert all(result.level == 1 and result.validation_top1 < 0.999 for result in tickets.values())
    assert status(cut.run).complete


def test_a_deleted_level_is_done_again_with_the_same_bits(plain: Plain, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "run"
    shutil.copytree(plain.run.path, run)
    shutil.rmtree(run / "cells" / "l02-r0-seed0")
    shutil.rmtree(run / "cells" / "l03-r0-seed0")
    run_spec(plain.run.spec, run)
    assert hashes(run) == hashes(plain.run.path)


def test_units_of_a_level_share_a_stream_with_no_other_level(plain: Plain) -> None:
    from lth.grid.next import wanted
    from lth.grid.unit import Cell
    from lth.grid.work import stream_of

    cells = [unit for unit in wanted(plain.run.spec, plain.run.results()) if isinstance(unit, Cell)]
    for one in cells:
        other = dataclasses.replace(one, level=(one.level or 0) + 1)
        assert stream_of(one) != stream_of(other)
        assert (plain.work.order(one) == plain.work.order(other)) is False
