"""`ready` is deterministic, complete and monotone, whatever order results come in and whoever crashes."""

from __future__ import annotations

import random

import pytest
from grid.worlds import add, small_spec
from hypothesis import given, settings
from hypothesis import strategies as st

from lth.grid.next import ready, wanted
from lth.grid.unit import Cell, Checkpoint, Dense, Finish
from lth.results.select import candidate, neighbours
from lth.runs.records import Results
from lth.spec import Spec, Step
from lth.spec.variants import VARIANTS

KINDS = ("control", "arm", "method")


def everything(spec, results=None, **options) -> Results:
    results = results or Results()
    while units := ready(spec, results):
        results = add(spec, results, units[0], **options)
    return results


def test_dense_first_then_the_grid_then_controls_and_confirmation_then_finish() -> None:
    spec, results, stages = small_spec(), Results(), []
    while units := ready(spec, results):
        stages.append(sorted({type(unit).__name__ for unit in units}))
        for unit in units:
            results = add(spec, results, unit)
    assert stages == [["Dense"], ["Cell"], ["Cell", "Dense"], ["Cell"], ["Finish"]]
    cells = [unit for unit in wanted(spec, results) if isinstance(unit, Cell)]
    grid = 3 * 2 * 2
    knee, confirmation = 2 * 2 * 2, 2 * (1 + 2)  # winner 0.9 has one neighbour; two controls, two seeds
    assert len(cells) == len(set(cells)) == grid + knee + confirmation
    assert {cell.seed for cell in cells} == {0, 1, 2, 3}


@pytest.mark.parametrize("iterative", [False, True])
@pytest.mark.parametrize("rewind", [["1ep"], ["0", "1ep"]])
def test_everything_a_spec_can_name_gets_ready_and_is_finished(iterative: bool, rewind: list[str]) -> None:
    """Whatever stands beside the tickets, also where 0 is no rewind point, and levels have chains."""
    names = {
        kind: [name for name, one in VARIANTS.items() if one.kind == kind] for kind in ("control", "arm", "method")
    }
    grid = {"rewind": rewind, "controls": names["control"], "controls_at": "all", "arms": names["arm"]}
    grid |= {"methods": names["method"], **({"levels": 3} if iterative else {"sparsities": [0.5, 0.8]})}
    prune = {"method": "iterative", "rate": 0.4} if iterative else {}
    spec = small_spec(grid=grid, prune=prune)
    results = everything(spec)
    assert any(name.startswith("finish-") for name in results.finished)
    trained = {result.control for result in results.done.values()}
    assert trained == {None, *VARIANTS}
    assert [unit.id for unit in wanted(spec, results) if not results.settled(unit.id)] == []


def test_controls_everywhere_need_no_winner() -> None:
    spec = small_spec(grid__controls_at="all", select__confirm_seeds=0)
    results = everything(spec)
    shuffled, reinit = 3 * 2 * 2, 3 * 2  # one mask for all rewind points makes one network of its reinitialisations
    assert sum(1 for result in results.done.values() if result.control) == shuffled + reinit


def test_a_rewind_point_added_later_is_replayed_before_its_cells() -> None:
    results = everything(small_spec())
    spec = small_spec(grid__rewind=["0", "1ep", "15it"])
    assert ready(spec, results) == [Checkpoint(0, Step(0, 15)), Checkpoint(1, Step(0, 15))]
    results = add(spec, results, Checkpoint(0, Step(0, 15)))
    new = [unit for unit in ready(spec, results) if isinstance(unit, Cell)]
    assert {(unit.seed, str(unit.rewind)) for unit in new} == {(0, "15it")}


def test_extending_a_finished_run_asks_only_for_what_is_new() -> None:
    results = everything(small_spec())
    more = small_spec(grid__sparsities=[0.5, 0.8, 0.9, 0.95])
    assert {unit.sparsity for unit in ready(more, results)} == {0.95}
    assert ready(small_spec(seeds=[0, 1, 9]), results) == [Dense(9)]
    assert [type(unit) for unit in ready(small_spec(select__tolerance=0.04), results)] == [Finish]
    assert ready(small_spec(execute={"workers": 7}), results) == []


def test_a_failed_cell_settles_and_a_failed_dense_network_blocks_its_grid() -> None:
    spec, results = small_spec(), Results()
    results = add(spec, results, Dense(0))
    results = add(spec, results, Dense(1), failed=True)
    cells = ready(spec, results)
    assert {unit.seed for unit in cells} == {0}
    for unit in cells:
        results = add(spec, results, unit, failed=True)
    assert ready(spec, results) == []
    assert not any(isinstance(unit, Finish) for unit in wanted(spec, results))


@given(seed=st.integers(0, 10**6), failing=st.floats(0, 0.3))
@settings(max_examples=40)
def test_random_completion_orders_duplicates_and_crashes(seed: int, failing: float) -> None:
    """Workers finish in any order, twice, or die; a unit once ready stays ready until it is settled."""
    draw, spec, results = random.Random(seed), small_spec(), Results()
    running: list = []
    published: list[str] = []
    for _ in range(2000):
        now = ready(spec, results)
        assert now == ready(spec, results)
        assert len({unit.id for unit in now}) == len(now)
        if not now:
            break
        running += draw.sample(now, min(len(now), draw.randint(1, 4)))  # duplicates: several workers take the same unit
        running = [unit for unit in running if draw.random() > 0.2]  # some die
        while running and draw.random() < 0.7:
            unit = running.pop(draw.randrange(len(running)))
            if results.settled(unit.id):
                continue  # a loser of first-wins publishing
            published.append(unit.id)
            before = set(now)
            results = add(
                spec,
                results,
                unit,
                failed=isinstance(unit, Cell) and draw.random() < failing,
                accuracy=draw.uniform(0.86, 0.94),
            )
            now = ready(spec, results)
            assert all(other in now or results.settled(other.id) for other in before)
    assert ready(spec, results) == []
    assert len(published) == len(set(published))
    assert all(results.settled(unit.id) for unit in wanted(spec, results))


def adaptive_spec(**changes) -> Spec:
    """Returns a spec of six sparsities, on one rewind point, that are searched."""
    levels = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    return small_spec(grid__search="adaptive", grid__sparsities=levels, grid__rewind=["1ep"], **changes)


def searched(spec: Spec, knee: float, draw: random.Random) -> Results:
    """Returns the results of a run whose tickets match up to the knee; units finish in a random order."""
    results = Results()
    while units := ready(spec, results):
        unit = draw.choice(units)
        beyond = isinstance(unit, Cell) and (unit.sparsity or 0) > knee
        results = add(spec, results, unit, accuracy=0.6 if beyond else 0.9)
        assert set(units) - {unit} <= set(ready(spec, results))
    return results


def test_an_adaptive_search_ends_in_the_same_stages_with_fewer_tickets() -> None:
    spec = adaptive_spec()
    for seed, knee in enumerate((0.5, 0.8, 0.95)):
        results = searched(spec, knee, random.Random(seed))
        assert candidate(spec, results) == (knee, Step(1))
        assert isinstance(wanted(spec, results)[-1], Finish)
        tickets = {cell.id for cell in wanted(spec, results) if isinstance(cell, Cell) and cell.control is None}
        assert tickets < {f"s{level}-r1ep-seed{one}" for level in spec.grid.sparsities for one in range(4)}
        around = [f"s{level}-r1ep-seed{one}" for level in neighbours(spec, knee) for one in spec.seeds]
        assert set(around) <= results.done.keys()
        assert {f"{one}-shuffled_mask" for one in around} <= results.done.keys()


def test_a_full_grid_goes_on_from_an_adaptive_search_and_back() -> None:
    spec = adaptive_spec(grid__controls=[], select__confirm_seeds=0)
    results = searched(spec, 0.8, random.Random(0))
    full = spec.model_copy(update={"grid": spec.grid.model_copy(update={"search": "full"})})
    new = [unit for unit in ready(full, results) if isinstance(unit, Cell)]
    assert len(new) == 6 * 2 - sum(result.kind == "cell" for result in results.done.values())
    for unit in new:
        results = add(full, results, unit, accuracy=0.6 if (unit.sparsity or 0) > 0.8 else 0.9)
    assert candidate(full, results) == candidate(spec, results) == (0.8, Step(1))
