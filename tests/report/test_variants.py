"""Runs with levels, arms, methods, thresholds and every control: each network is on the page, under its name."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest
from charts import rows, valid
from fake_run import FakeRun, played, spec_of, with_spec
from html_reader import Reader

from lth.report import write_report
from lth.report.accuracy import accuracy, early_accuracy, early_stop
from lth.report.chart import Figure
from lth.report.curves import layer_densities
from lth.report.headline import terms
from lth.report.others import arm_rows, others
from lth.report.palette import COLOURS, MARKS, mark
from lth.report.summary import groups, title
from lth.report.table import COLUMNS
from lth.report.table import rows as table_rows
from lth.report.verdicts import corrections, tally, verdict_rows
from lth.results.select import select_winner
from lth.runs.records import Results
from lth.spec.step import Step
from lth.spec.variants import METHODS, VARIANTS

EVERYTHING = [name for name, one in VARIANTS.items() if one.kind == "control"]
ITERATIVE: dict[str, Any] = {
    "prune": {"method": "iterative", "rate": 0.4, "scope": "layerwise", "rates": {}, "exclude": ["output"]},
    "grid": {
        "levels": 8, "rewind": ["0", "1ep"], "controls": ["reinit", "shuffled_mask", "dense_long"],
        "controls_at": "all", "arms": ["lrr", "fine_tune"],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def iterative(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    return with_spec(played(tmp_path_factory.mktemp("runs") / "levels", spec_of(seeds=3, confirm=2, **ITERATIVE)))


@pytest.fixture(scope="module")
def one_shot(tmp_path_factory: pytest.TempPathFactory) -> FakeRun:
    grid = {
        "sparsities": [0.7, 0.8, 0.9], "rewind": ["1ep", "2ep"], "controls": EVERYTHING, "controls_at": [0.8],
        "arms": ["lrr"], "methods": METHODS, "thresholds": [0.02],
    }  # fmt: skip
    return with_spec(played(tmp_path_factory.mktemp("runs") / "once", spec_of(seeds=2, confirm=2, grid=grid)))


def drawn(figure: Figure | None, key: str) -> set[Any]:
    return {row[key] for row in rows(figure) if key in row}


def test_every_network_of_either_run_is_in_one_group(iterative: FakeRun, one_shot: FakeRun) -> None:
    for run in (iterative, one_shot):
        found = groups(run.spec, run.results())
        assert sum(len(group.results) for group in found.all()) == len(run.found.done)
    kinds = groups(one_shot.spec, one_shot.results())
    assert {group.control for group in kinds.controls} == set(EVERYTHING)
    assert {group.control for group in kinds.methods} == set(METHODS)
    assert {(group.threshold, group.sparsity) for group in kinds.thresholds} == {(0.02, None)}


def test_controls_that_serve_all_rewind_points_stand_beside_each(one_shot: FakeRun) -> None:
    found = groups(one_shot.spec, one_shot.results())
    beside = {group.control: group.rewind for group in found.at(0.8, Step(2))}
    assert set(beside) == {None, *EVERYTHING}
    assert (beside["reinit"], beside["shuffled_mask"], beside["small_dense"]) == (Step(), Step(2), Step())


def test_names_have_no_articles_and_every_variant_has_a_mark() -> None:
    assert title("shuffled_mask") == "shuffled mask"
    assert title("small_dense") == "small dense network of as many parameters"
    assert len({title(name) for name in VARIANTS}) == len(VARIANTS)
    assert set(MARKS) <= set(VARIANTS)
    assert all(mark(name)[0].startswith("var(--") for name in VARIANTS)
    controls = [MARKS[name] for name in EVERYTHING]
    assert len(set(controls)) == len(controls)


def test_figures_of_levels_are_those_of_sparsities(iterative: FakeRun) -> None:
    found = groups(iterative.spec, iterative.results())
    figure = accuracy(found, (None, None))
    controls, densities = [row for row in rows(figure) if "control" in row], drawn(figure, "density")
    assert drawn(figure, "control") == {"reinit", "shuffled mask", "dense network trained as long as the search"}
    assert len(densities) == 8, "a dense control stands at its ticket"
    assert len(controls) == 8 * 2 * 2 + 8, "one long dense network serves both rewind points"
    layers = rows(layer_densities(found))
    assert len({row["density"] for row in layers}) == 8


def test_every_new_chart_is_valid_and_says_what_it_shows(iterative: FakeRun, one_shot: FakeRun) -> None:
    for run in (iterative, one_shot):
        found, winner = groups(run.spec, run.results()), (run.spec.grid.sparsities[1], Step(1))
        for figure in (made(found, winner) for made in (accuracy, early_stop, early_accuracy, others)):
            assert figure is not None
            valid(figure)
            assert figure.chart["description"] == figure.alt
            assert len(figure.alt) > 60
            names = set(re.findall(r"var\(--([a-z0-9-]+)\)", json.dumps(figure.chart)))
            assert names <= set(COLOURS)


def test_the_early_stop_is_drawn_where_it_varies(iterative: FakeRun, one_shot: FakeRun) -> None:
    found = groups(iterative.spec, iterative.results())
    figure = early_stop(found, (None, None))
    by_density = {row["density"]: row["mean"] for row in rows(figure) if row.get("rewound to") == "0"}
    assert by_density[min(by_density)] < by_density[max(by_density)]
    assert figure is not None
    assert "steps" in figure.alt.lower()
    assert early_accuracy(found, (None, None)) is not None
    results = {
        name: one.model_copy(update={"early_stop_step": one.last_step}) for name, one in one_shot.found.done.items()
    }
    same = groups(one_shot.spec, type(one_shot.found)(results))
    assert early_stop(same, (None, None)) is None
    assert early_accuracy(same, (None, None)) is None


def test_far_worse_controls_do_not_flatten_the_tickets(iterative: FakeRun) -> None:
    captions: dict[float, Figure] = {}
    for reached in (0.95, 0.2):
        done = iterative.found.done.items()
        changed = {name: one.model_copy(update={"validation_top1": reached}) for name, one in done if one.control}
        figure = accuracy(groups(iterative.spec, Results({**iterative.found.done, **changed})), (None, None))
        assert figure is not None
        captions[reached] = figure
    assert "cut off" not in captions[0.95].caption
    cut = captions[0.2]
    start = float(re.findall(r"The axis starts at (\d+) %; controls below are cut off", cut.caption)[0])
    tickets = [row["low"] for row in rows(cut) if "rewound to" in row and "control" not in row]
    assert 20 < start <= min(tickets)
    assert f'"domainMin": {start}' in json.dumps(cut.chart)


def test_other_ways_are_drawn_at_the_selected_rewind_point(one_shot: FakeRun, iterative: FakeRun) -> None:
    found = groups(one_shot.spec, one_shot.results())
    figure = others(found, (0.8, Step(2)))
    assert drawn(figure, "network") == {"rewinding", "learning-rate rewinding", *(title(name) for name in METHODS)}
    assert figure is not None
    assert "rewind point 2ep" in figure.caption
    tickets = [row for row in rows(figure) if row.get("network") == "rewinding"]
    assert {row["rewound to"] for row in tickets} == {"2ep"}
    unselected = others(groups(iterative.spec, iterative.results()), (None, None))
    assert drawn(unselected, "rewound to") == {"1ep"}, "the last rewind point"


def test_a_run_without_other_ways_draws_none(tmp_path: Path) -> None:
    run = played(tmp_path, spec_of(seeds=2, confirm=0, grid={"sparsities": [0.9], "rewind": ["0"]}))
    assert others(groups(run.spec, run.results()), (None, None)) is None


def arms_table(run: FakeRun) -> list[dict[str, str]]:
    columns, made = arm_rows(groups(run.spec, run.results()), select_winner(run.spec, run.results()).arms)
    names = [column.name for column in columns]
    return [dict(zip(names, (one.text for one in row.fields), strict=True)) for row in made]


def test_arms_say_what_they_trained(one_shot: FakeRun, iterative: FakeRun) -> None:
    found = {(row["Network"], row["Rewound to"], row["Density of prunable, %"]): row for row in arms_table(one_shot)}
    lrr = found["learning-rate rewinding", "2ep", "20"]
    assert lrr["Basis"] == "equal retraining epochs, ends at T"
    assert (lrr["Retraining epochs"], lrr["Total epochs"]) == ("18", "38")
    gradual = found["gradual magnitude pruning", "2ep", "20"]
    assert (gradual["Basis"], gradual["Retraining epochs"]) == ("budgets differ", "40, not 18")
    assert found["SNIP, shuffled", "1ep", "20"]["Compared with"] == "SNIP"
    assert all("Compared with" not in row for row in arms_table(iterative)), "all are compared with rewinding"
    last = next(row for row in arms_table(iterative) if row["Density of prunable, %"] == "1.68")
    assert last["Total epochs"] == str(20 + 8 * 20)


def test_the_verdicts_name_tests_and_corrections(iterative: FakeRun) -> None:
    selection = select_winner(iterative.spec, iterative.results())
    columns, made = verdict_rows(iterative.spec, groups(iterative.spec, iterative.results()), selection)
    names = [column.name for column in columns]
    assert len(made) == 8 * 2
    assert "Level" in names
    assert sum(row.winner for row in made) == (selection.sparsity is not None)
    place = names.index("Verdict")
    assert [row.fields[place].text for row in made] == [one.word for one in selection.verdicts]
    told = " ".join(corrections(selection))
    assert "paired t" in told or "Welch's t" in told
    assert "fixed sequence from dense to sparse, Holm over 2 rewind points" in told
    assert tally(selection).startswith("Of 16 levels over 3 seeds: ")


def test_the_table_has_level_and_threshold_only_where_there_are_any(iterative: FakeRun, one_shot: FakeRun) -> None:
    shown: dict[str, list[str]] = {}
    for run in (iterative, one_shot):
        columns, _ = table_rows(groups(run.spec, run.results()), (None, None), ())
        shown[run.path.name] = [column.name for column in columns]
    assert "Level" in shown["levels"]
    assert "Threshold" not in shown["levels"]
    assert "Threshold" in shown["once"]
    assert "Level" not in shown["once"]
    assert {"Level", "Threshold"} <= {column.name for column in COLUMNS}


def test_only_the_terms_that_are_used_are_explained(iterative: FakeRun) -> None:
    names = [name for name, _ in terms(iterative.spec, groups(iterative.spec, iterative.results()))]
    assert {"Level", "reinit", "fine-tuning"} <= set(names)
    assert not {"SNIP", "random mask"} & set(names)


@pytest.mark.usefixtures("no_pdf")
def test_the_page_of_levels_is_whole(iterative: FakeRun) -> None:
    path = write_report(iterative)
    reader = Reader(path.read_text("utf-8"))
    words = " ".join(reader.words).replace("\u00a0", " ")
    first = ["accuracy", "closeness", "early-stop", "early-accuracy"]
    charts = [*first, "heat-map", "others", "layer-densities", "training"]
    assert list(json.loads(reader.scripts[0])) == charts
    selection = select_winner(iterative.spec, iterative.results())
    for text in (
        "8 levels × 2 rewind points × 3 seeds",
        tally(selection),
        *corrections(selection),
        "Arms and methods beside rewinding",
        "40 % of what is left at each of 8 levels",
    ):
        assert text in words
    with open(path.parent / "results.csv", encoding="utf-8", newline="") as file:
        levels = {row["level"] for row in csv.DictReader(file)}
    assert levels == {"", *map(str, range(1, 9))}


@pytest.mark.usefixtures("no_pdf")
def test_the_page_of_every_variant_is_whole(one_shot: FakeRun) -> None:
    words = " ".join(Reader(write_report(one_shot).read_text("utf-8")).words)
    assert all(title(name) in words for name in (*EVERYTHING, *METHODS, "lrr"))
