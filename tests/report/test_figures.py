"""The charts: valid, small, with the numbers that were planted, and words for those who cannot see them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from charts import rows, valid
from fake_run import STEPS_PER_EPOCH, grid_only, network, planted, spec_of

from lth.report.accuracy import accuracy
from lth.report.chart import Figure, for_print, log_ticks
from lth.report.closeness import closeness
from lth.report.curves import LINES, layer_densities, mean_curve, training
from lth.report.heat_map import heat_map
from lth.report.palette import COLOURS, light, ramp
from lth.report.summary import Groups, groups
from lth.results.index import asked, index
from lth.results.select import select_winner
from lth.results.selection import Selection
from lth.runs.records import Results
from lth.spec.schema import Spec
from lth.spec.step import Step

Planted = tuple[Spec, Groups, Selection]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    run = planted(tmp_path_factory.mktemp("run"))
    return run.spec, groups(run.spec, run.results()), select_winner(run.spec, run.results())


@pytest.fixture(scope="module")
def figures(whole: Planted) -> list[Figure]:
    return drawn(*whole)


def drawn(spec: Spec, found: Groups, selection: Selection) -> list[Figure]:
    winner = (selection.sparsity, selection.rewind)
    charts = [accuracy(found, winner), closeness(spec, found, selection), heat_map(spec, found, winner)]
    return [figure for figure in (*charts, layer_densities(found)) if figure is not None]


def test_every_chart_is_valid_vega_lite_and_says_what_it_shows(figures: list[Figure]) -> None:
    assert [figure.name for figure in figures] == ["accuracy", "closeness", "heat-map", "layer-densities"]
    for figure in figures:
        valid(figure)
        assert figure.chart["description"] == figure.alt
        assert len(figure.alt) > 60


def test_charts_are_small_and_load_nothing(figures: list[Figure]) -> None:
    for figure in figures:
        text = json.dumps(figure.chart)
        assert len(text) < 60_000
        assert '"url"' not in text
        assert "http" not in text


def test_charts_are_the_same_each_time(whole: Planted, figures: list[Figure]) -> None:
    assert [figure.chart for figure in drawn(*whole)] == [figure.chart for figure in figures]


def test_every_colour_has_a_value_in_both_appearances(figures: list[Figure]) -> None:
    text = json.dumps([figure.chart for figure in figures])
    assert set(re.findall(r"var\(--([a-z0-9-]+)\)", text)) <= set(COLOURS)
    assert not re.findall(r"#[0-9a-f]{6}", text)
    assert "var(" not in light(text)


def test_the_accuracy_chart_holds_one_point_a_cell_and_marks_the_selected(whole: Planted) -> None:
    _, found, selection = whole
    figure = accuracy(found, (selection.sparsity, selection.rewind))
    assert figure is not None
    tickets = [row for row in rows(figure) if "rewound to" in row and "control" not in row and "text" not in row]
    assert len(tickets) == 100
    chosen = next(row for row in rows(figure) if row.get("text") == "selected")
    assert chosen["rewound to"] == str(selection.rewind)
    assert chosen["density"] == pytest.approx(100 * (1 - (selection.sparsity or 0)))
    assert all(row["low"] <= row["mean"] <= row["high"] <= 100 for row in tickets)


def test_the_heat_map_names_the_difference_and_frames_the_selected_cell(whole: Planted) -> None:
    spec, found, selection = whole
    assert selection.level is not None
    assert selection.level.difference is not None
    figure = heat_map(spec, found, (selection.sparsity, selection.rewind))
    assert figure is not None
    framed = [row for row in rows(figure) if row["selected"]]
    text = f"{100 * selection.level.difference:+.2f}".replace("-", "−")
    assert {row["text"] for row in framed} == {text}
    assert text in figure.alt
    assert "framed" in figure.caption


def test_ranges_are_blue_exactly_within_the_tolerance(whole: Planted) -> None:
    spec, found, _ = whole
    figure = heat_map(spec, found, (None, None))
    assert figure is not None
    within = {"0 or above", "−1 to 0"}
    for row in rows(figure):
        value = float(row["text"].replace("−", "-"))
        if abs(value + 1) > 0.01:
            assert (row["range"] in within) == (value > -1)


def test_a_tolerance_of_nothing_or_of_ten_points_still_has_ranges(tmp_path: Path) -> None:
    for tolerance in (0.0, 0.02, 0.1, 0.3):
        run = grid_only(tmp_path, spec_of(seeds=2, select={"tolerance": tolerance}))
        assert heat_map(run.spec, groups(run.spec, run.found), (None, None)) is not None


def test_close_levels_tell_why_they_do_not_match(whole: Planted) -> None:
    spec, found, selection = whole
    figure = closeness(spec, found, selection)
    assert figure is not None
    shown = [row for row in rows(figure) if "matches" in row]
    assert {row["matches"].split(":")[0] for row in shown} == {"yes", "no"}
    assert all(row["matches"] == "yes" or len(row["matches"]) > 10 for row in shown)
    assert all(row["bound"] <= row["mean"] for row in shown)


def test_up_to_eight_layers_are_lines_and_more_are_rows(whole: Planted) -> None:
    _, found, _ = whole
    few = layer_densities(found)
    assert few is not None
    assert "fc1.weight" in few.alt
    names = [f"features.{number}.weight" for number in range(LINES + 1)]
    many = tuple(
        replace(
            group,
            results=tuple(
                result.model_copy(update={"layer_densities": dict.fromkeys(names, result.density_prunable)})
                for result in group.results
            ),
        )
        for group in found.tickets
    )
    wide = layer_densities(replace(found, tickets=many))
    assert wide is not None
    assert wide.chart["height"] == 15 * len(names)
    assert {row["layer"] for row in rows(wide)} == set(names)


def test_an_empty_layer_and_an_empty_ticket_can_be_drawn(tmp_path: Path) -> None:
    spec = spec_of(seeds=1, grid={"sparsities": [0.9], "rewind": ["0"]})
    gone = network(0, 0.9, Step()).model_copy(
        update={"density_prunable": 0.0, "layer_densities": {"fc1.weight": 0.0}, "collapsed": ("fc1.weight",)}
    )
    found = groups(spec, Results({result.id: result for result in (network(0), gone)}))
    assert accuracy(found, (None, None)) is None
    assert layer_densities(found) is not None
    figure = heat_map(spec, found, (None, None))
    assert figure is not None
    assert "collapsed" in figure.caption


def test_a_curve_is_the_mean_of_the_moments_all_seeds_have() -> None:
    one = [{"epoch": 0.0, "validation_top1": 0.1}, {"epoch": 1.0, "validation_top1": 0.8}]
    two = [{"epoch": 1.0, "validation_top1": 0.9}, {"epoch": 2.0, "validation_top1": None}]
    assert [(row["epoch"], row["mean"], row["seeds"]) for row in mean_curve([one, two, []])] == [
        (1.0, pytest.approx(85.0), 2)
    ]
    assert training({"dense": [[]], "ticket": []}) is None


def test_the_training_chart_has_the_arms_in_a_fixed_order(tmp_path: Path) -> None:
    run = grid_only(tmp_path, spec_of(seeds=2))
    arms = {
        name: [run.metrics(network(seed, 0.9, Step(1), name)) for seed in (0, 1)] for name in ("random_mask", "reinit")
    }
    figure = training({**arms, "ticket": [run.metrics(network(0, 0.9, Step(1)))], "dense": [run.metrics(network(0))]})
    assert figure is not None
    valid(figure)
    assert list(dict.fromkeys(row["network"] for row in rows(figure))) == ["dense", "ticket", "reinit", "random mask"]
    starts = [row["epoch"] for row in rows(figure) if row["network"] == "ticket"]
    assert min(starts) == network(0, 0.9, Step(1)).first_step / STEPS_PER_EPOCH


def test_ticks_are_round_and_inside() -> None:
    assert log_ticks(1, 35) == [35, 25, 18, 12, 8, 5, 3, 2, 1]
    assert log_ticks(0.1, 100) == [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1]
    assert log_ticks(41, 42) == [41]


@pytest.mark.parametrize("count", range(12))
def test_the_ramp_gives_as_many_colours_as_asked(count: int) -> None:
    colours = ramp(count)
    assert len(colours) == count
    assert len(set(colours)) == min(count, 8)


def test_a_print_has_a_width_and_a_ground(figures: list[Figure]) -> None:
    figure = figures[0]
    assert isinstance(for_print(figure.chart)["width"], int)
    assert figure.chart["width"] == "container"


def test_a_search_that_trained_few_cells_leaves_the_others_empty(tmp_path: Path) -> None:
    raw = spec_of().grid.model_dump(mode="json")
    spec = spec_of(grid={**raw, "search": "adaptive"})
    run = planted(tmp_path, spec)
    cells = set(asked(spec, index(spec, run.found), spec.seeds))
    untrained = {
        name
        for name, one in run.found.done.items()
        if one.rewind is not None and one.control is None and one.seed in spec.seeds
        if (None, one.rewind, one.sparsity, one.seed) not in cells
    }
    assert len(cells) < 0.3 * 500
    results = Results({name: one for name, one in run.found.done.items() if name not in untrained})
    selection, found = select_winner(spec, results), groups(spec, results)
    assert selection.sparsity is not None
    charts = drawn(spec, found, selection)
    assert [figure.name for figure in charts] == ["accuracy", "closeness", "heat-map", "layer-densities"]
    for figure in charts:
        valid(figure)
    assert charts[2].caption.endswith(" Empty places were not trained.")
    assert 5 < len(found.tickets) < 40
