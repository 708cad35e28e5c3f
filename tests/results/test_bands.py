"""Bands: written down with their source, kept by a run as the paper tells it, and biting where a run is told wrong."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from pydantic import ValidationError
from results.made import BROKEN, changed, failed, without
from results.paper_run import density, paper_run, paper_spec

import lth
from lth.results.bands import Band, bands, outcome, rows, unit
from lth.results.expectations import amount, as_json, cells, limits, made_by, markdown
from lth.results.forged import FORGERIES, forged
from lth.results.measures import MEASURES
from lth.runs.records import Results
from lth.spec.load import parse_spec
from lth.spec.published import PUBLISHED, published_spec

EVERY = [(name, scale) for name, one in PUBLISHED.items() for scale in one.scales]
EXPECTED = bands("lenet-fc-2019", "small")
NETWORK = re.compile(r"dense|(l\d\d|s0\.\d+)-r(0|\d+ep)(-(reinit|lrr|fine_tune))?")


def outside(results: Results) -> set[str]:
    """Returns the measures with the networks of the rows that lie outside."""
    found = rows(EXPECTED, paper_spec(), results)
    assert outcome(found) != "incomplete"
    return {f"{row.band.measure} of {row.band.of[0]}" for row in found if row.verdict == "outside"}


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_every_band_has_a_source_and_asks_for_networks_that_the_spec_trains(name: str, scale: str) -> None:
    spec, expected = published_spec(name, scale), bands(name, scale)
    grid = {f"s{one:g}" for one in spec.grid.sparsities} | {f"l{n:02}" for n in range(1, len(spec.grid.sparsities) + 1)}
    moments, variants = {str(step) for step in spec.grid.rewind}, {*spec.grid.controls, *spec.grid.arms}
    assert expected
    for band in expected:
        assert len(band.source) > 5, band.what
        assert band.paper, band.what
        if band.low is not None and band.high is not None:
            assert band.low < band.high
        for network in (*band.of, *((band.beside,) if band.beside else ())):
            found = NETWORK.fullmatch(network)
            assert found, network
            if network != "dense":
                assert found[1] in grid, network
                assert found[2] in moments, network
                assert found[4] is None or found[4] in variants, network


@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_rows_do_not_stand_twice(name: str, scale: str) -> None:
    words = [band.what for band in bands(name, scale)]
    assert len(words) == len(set(words))


def test_the_densities_of_the_levels_are_those_of_whole_weights() -> None:
    (band,) = [band for band in EXPECTED if band.measure == "density_error"]
    assert len(band.of) == 15
    assert [round(density(level), 4) for level in range(1, 16)] == [round(one, 4) for one in band.densities]


def test_a_band_that_says_nothing_is_refused() -> None:
    whole = {"what": "w", "measure": "test_accuracy", "of": "dense", "paper": "p", "source": "s"}
    with pytest.raises(ValidationError, match="assert"):
        Band.model_validate(whole)
    with pytest.raises(ValidationError, match="accuracy"):
        Band.model_validate({**whole, "low": 0.1, "measure": "accuracy"})
    with pytest.raises(ValidationError, match="hgih"):
        Band.model_validate({**whole, "low": 0.1, "hgih": 0.2})


def test_ends_of_a_band_are_inside() -> None:
    band = Band(what="w", measure="test_accuracy", of=("dense",), paper="p", source="s", low=0.1, high=0.2)
    assert band.holds(0.1)
    assert band.holds(0.2)
    assert not band.holds(0.2001)
    assert not band.model_copy(update={"high": None}).holds(0.09)
    assert not band.model_copy(update={"low": None}).holds(math.inf)


def test_networks_are_found_by_their_id() -> None:
    names = ["dense", "l07-r0", "s0.9-r6ep-reinit", "l03-r0-fine_tune"]
    wanted = ["dense-seed2", "l07-r0-seed2", "s0.9-r6ep-seed2-reinit", "l03-r0-seed2-fine_tune"]
    assert [unit(name, 2) for name in names] == wanted


def test_the_run_of_the_paper_lies_inside_every_band() -> None:
    found = rows(EXPECTED, paper_spec(), paper_run())
    assert {row.verdict for row in found} == {"inside"}
    assert outcome(found) == "inside"


@pytest.mark.parametrize(
    ("how", "rows_outside"),
    [
        ("reinit as ticket", {"early_stop_earlier of l07-r0", "early_stop_difference of l07-r0"}),
        ("dense as ticket", {"early_stop_earlier of l07-r0", "early_stop_difference of l09-r0"}),
        ("not rewound", {"early_stop_earlier of l07-r0", "early_stop_ratio of l15-r0"}),
        ("mask one level off", {"density_error of l01-r0"}),
    ],
)
def test_a_run_told_wrong_falls_outside(how: str, rows_outside: set[str]) -> None:
    assert rows_outside <= outside(forged(paper_spec(), paper_run(), how))


def test_every_forgery_is_tried_above_and_changes_tickets_alone() -> None:
    assert list(FORGERIES) == ["reinit as ticket", "dense as ticket", "not rewound", "mask one level off"]
    true = paper_run()
    for how in FORGERIES:
        told = forged(paper_spec(), true, how)
        assert told.done.keys() == true.done.keys()
        moved = {name for name, one in told.done.items() if one != true.done[name]}
        assert moved
        assert not any(name.endswith("reinit") or name.startswith("dense") for name in moved)


def test_missing_networks_leave_their_rows_incomplete_and_are_named() -> None:
    found = rows(EXPECTED, paper_spec(), without(paper_run(), "l09-r0-seed1"))
    by_name = {row.band.what: row for row in found}
    row = by_name["13.5 % ticket above dense at early stop"]
    assert (row.verdict, row.ours, row.note) == ("incomplete", None, "not there: l09-r0-seed1")
    assert by_name["21.1 % ticket, early stop earlier than dense by"].verdict == "inside"
    waiting = by_name["dense, test accuracy at early stop"]
    assert (waiting.verdict, waiting.note) == ("incomplete", "test accuracies wait for the whole grid")
    assert outcome(found) == "incomplete"
    lost = rows(EXPECTED, paper_spec(), failed(paper_run(), "l09-r0-seed1"))
    assert "l09-r0-seed1 (failed)" in {row.band.what: row for row in lost}[row.band.what].note


def test_a_run_without_test_accuracies_on_the_way_says_what_to_set() -> None:
    results = changed(paper_run(), "dense-seed0", early_stop_test_top1=None)
    row = rows(EXPECTED, paper_spec(), results)[1]
    assert row.note == "not there: test accuracy at early stop of dense-seed0 (set train.test_every)"


def test_a_failed_audit_is_outside_whatever_the_numbers_say() -> None:
    found = rows(EXPECTED, paper_spec(), changed(paper_run(), "l09-r0-seed2", audit=BROKEN))
    assert next(row.note for row in found if row.verdict == "outside") == "audit not passed: l09-r0-seed2"
    assert outcome(found) == "outside"


def test_a_row_in_words() -> None:
    found = {row.band.what: row for row in rows(EXPECTED, paper_spec(), paper_run())}
    what = "21.1 % ticket, early stop earlier than dense by"
    assert cells(found[what])[:4] == (what, "38 %", "25 to 60 %", "38.1 %")
    assert cells(found["reinit at 21.1 %, early stop later than reinit at 51.3 %"])[2] == "at least 1.10x"
    assert cells(found["21.1 % ticket above reinit at early stop"])[2:4] == ("+0.20 to +1.00 pp", "+0.47 pp")
    assert limits(EXPECTED[0]) == "at most 0.005 pp"
    assert amount(-0.0031, "points") == "−0.31 pp"
    assert amount(math.inf, "times") == "∞x"


def test_the_markdown_table_says_what_made_it_and_marks_what_is_outside() -> None:
    spec, told = paper_spec(), forged(paper_spec(), paper_run(), "dense as ticket")
    text = markdown(rows(EXPECTED, spec, told), spec, told, "lth repro lenet-fc-2019")
    lines = text.splitlines()
    assert lines[0] == "`lth repro lenet-fc-2019`  "
    assert "seeds 0, 1, 2; 60 networks" in lines[1]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(EXPECTED)
    assert {line.count("|") for line in table} == {8}
    assert "| **outside** | section 2 |" in text
    assert made_by(spec, Results()) == "seeds 0, 1, 2; 0 networks."


def test_the_rows_for_scripts_are_plain_json() -> None:
    found = [as_json(row) for row in rows(EXPECTED, paper_spec(), without(paper_run(), "dense-seed0"))]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found[0]["verdict"] == "inside"
    assert found[1]["ours"] is None


DIGITS = """
name = "digits"
seeds = [0, 1]
data = { source = "digits", batch_size = 60, validation = { fraction = 0.25 } }
model = { name = "lenet_300_100", initialization = "glorot_normal" }
prune = { method = "iterative", rate = 0.65, scope = "layerwise", rates = { output = 0.5 } }
grid = { levels = 2, arms = ["lrr"], controls = ["reinit"], controls_at = [2] }
train = { iterations = 400, evaluate_every = "20it", test_every = "20it", optimizer = { name = "adam", lr = 0.0012 } }
"""
ON_DIGITS = (
    Band(what="density", measure="density_error", of=("l01-r0", "l02-r0"), densities=(0.35648, 0.12920), high=0.0001,
         paper="", source="the spec"),
    Band(what="early stop", measure="early_stop_ratio", of=("l02-r0",), beside="dense", low=0.7, high=2.0, paper="",
         source="a rewound ticket learns about as long as dense"),
    Band(what="beats reinit", measure="early_stop_difference", of=("l02-r0",), beside="l02-r0-reinit", low=0.004,
         paper="", source="Frankle & Carbin 2019, section 2"),
)  # fmt: skip


@pytest.mark.long
def test_bands_bite_on_networks_that_were_really_trained_wrong(tmp_path: Path) -> None:
    """Learning-rate rewinding keeps the trained weights: presented as the ticket it is a build that does not rewind."""
    spec = parse_spec(DIGITS, "digits")
    results = lth.run(spec, tmp_path / "run").results()
    assert {row.verdict for row in rows(ON_DIGITS, spec, results)} == {"inside"}

    def told(how: str) -> set[str]:
        if how == "lrr":
            kept = {f"l02-r0-seed{seed}": results.done[f"l02-r0-seed{seed}-lrr"] for seed in spec.seeds}
            wrong = Results({**results.done, **kept}, results.finished)
        else:
            wrong = forged(spec, results, how)
        return {row.band.what for row in rows(ON_DIGITS, spec, wrong) if row.verdict == "outside"}

    assert "early stop" in told("lrr")
    assert "beats reinit" in told("reinit as ticket")
    assert "density" in told("mask one level off")
    assert all(MEASURES[band.measure] for band in ON_DIGITS)
