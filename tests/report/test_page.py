"""The report as files: complete, offline, escaped, atomic, and true about what may be shown."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import FakeRun, failure, grid_only, late, network, never, planted, spec_of, with_spec
from html_reader import Reader

from lth.errors import MissingExtraError
from lth.report import page as pages
from lth.report import write_report
from lth.report.page import unbroken
from lth.results.select import select_winner
from lth.runs.records import Results
from lth.runs.run import open_run, start_run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[FakeRun, Path, Reader]:
    run = with_spec(planted(tmp_path_factory.mktemp("runs") / "digits"))
    path = write_report(run)
    return run, path, Reader(path.read_text("utf-8"))


def test_the_report_is_a_page_a_table_and_a_pdf_of_every_chart(report: tuple[FakeRun, Path, Reader]) -> None:
    run, path, reader = report
    assert path == run.path / "report" / "index.html"
    charts = json.loads(reader.scripts[0])
    assert list(charts) == ["accuracy", "closeness", "heat-map", "layer-densities", "training"]
    found = {file.relative_to(path.parent).as_posix() for file in path.parent.rglob("*") if file.is_file()}
    assert found == {"index.html", "results.csv", *(f"figures/{name}.pdf" for name in charts)}
    for name in charts:
        content = (path.parent / "figures" / f"{name}.pdf").read_bytes()
        assert content.startswith(b"%PDF-")
        assert b"%%EOF" in content[-32:]
    assert path.stat().st_size < 1_500_000


def test_the_page_loads_nothing(report: tuple[FakeRun, Path, Reader]) -> None:
    _, path, reader = report
    text = path.read_text("utf-8")
    assert set(reader.loads) == {"results.csv", *(f"figures/{name}.pdf" for name in json.loads(reader.scripts[0]))}
    assert not {"link", "iframe", "img", "object", "embed", "base", "form"} & set(reader.tags)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "@import" not in style
    assert "url(" not in style


def test_the_policy_allows_these_scripts_and_nothing_else(report: tuple[FakeRun, Path, Reader]) -> None:
    _, _, reader = report
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in reader.scripts[1:]]
    assert reader.policy.startswith("default-src 'none'; script-src ")
    allowed = re.search(r"script-src ([^;]*)", reader.policy)
    assert allowed is not None
    assert allowed[1].split() == [f"'sha256-{found}'" for found in hashes]
    assert len(hashes) == 2
    assert not reader.handlers


def test_the_library_stands_in_the_page_once(report: tuple[FakeRun, Path, Reader]) -> None:
    _, path, _ = report
    assert path.read_text("utf-8").count("window.vegaEmbed=") == 1


def test_the_page_says_what_the_selection_says(report: tuple[FakeRun, Path, Reader]) -> None:
    run, _, reader = report
    selection = select_winner(run.spec, run.results())
    words = re.sub(r"\s+", " ", " ".join(reader.words))
    assert selection.verdict == "matching"
    assert unbroken(selection.sentence).replace("\u00a0", " ") in words
    assert selection.rewind_axis is not None
    assert selection.rewind_axis.sentence in words
    for text in (
        *selection.notes,
        "confirmed on fresh seeds",
        "lth run spec.toml --into digits",
        'name = "digits-lenet"',
    ):
        assert text in words
    for text in (
        "torch 2.13.0+cpu",
        "565 (8 dense, 503 tickets, 54 controls)",
        "0, 1, 2, 3, 4; to confirm, fresh: 5, 6, 7",
    ):
        assert text in words


def test_the_csv_has_a_row_a_network_and_test_accuracies_only_where_shown(report: tuple[FakeRun, Path, Reader]) -> None:
    run, path, _ = report
    shown = set(select_winner(run.spec, run.results()).shown)
    with open(path.parent / "results.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(run.found.done) == 565
    assert {row["id"] for row in rows if row["test_top1"]} == shown
    one = next(row for row in rows if row["id"] == "s0.9-r1ep-seed2")
    assert float(one["validation_top1"]) == run.found.done["s0.9-r1ep-seed2"].validation_top1


@pytest.mark.usefixtures("no_pdf")
def test_test_accuracies_of_other_networks_are_nowhere(tmp_path: Path) -> None:
    run = with_spec(planted(tmp_path / "digits"))
    shown = set(select_winner(run.spec, run.results()).shown)
    planted_value = 0.123456789
    done = {
        name: result
        if name in shown
        else result.model_copy(update={"test_top1": planted_value, "test_loss": 7.7654321})
        for name, result in run.found.done.items()
    }
    path = write_report(replace(run, found=Results(done)))
    for file in (path, path.parent / "results.csv"):
        text = file.read_text("utf-8")
        assert "12.35" not in text
        assert "0.1234567" not in text
        assert "7.765" not in text


@pytest.mark.usefixtures("no_pdf")
def test_showing_test_data_is_noted_and_only_when_it_is_shown(
    tmp_path: Path, report: tuple[FakeRun, Path, Reader]
) -> None:
    assert report[0].shown == 1
    run = with_spec(grid_only(tmp_path / "grid", spec_of(seeds=2, grid={"sparsities": [0.9], "rewind": ["0"]})))
    write_report(replace(run, found=Results({"dense-seed0": network(0)})))
    assert run.shown == 0


@pytest.mark.usefixtures("no_pdf")
@pytest.mark.parametrize(
    "world", ["none", "late", "one seed", "waiting", "incomplete", "failed", "dense only", "empty"]
)
def test_every_state_of_a_run_has_a_page(world: str, tmp_path: Path) -> None:
    grid = {"sparsities": [0.65, 0.8, 0.9, 0.99], "rewind": ["0", "2ep"], "controls": ["reinit"]}
    spec = spec_of(seeds=3, grid=grid)
    whole = planted(tmp_path / "run", spec, lost=never if world == "none" else late)
    if world == "one seed":
        whole = planted(tmp_path / "run", spec_of(seeds=1, confirm=0, grid=grid))
    done = whole.found.done
    found = {
        "waiting": Results({name: one for name, one in done.items() if one.seed < 3}),
        "incomplete": Results(dict(list(done.items())[::2])),
        "failed": Results(
            {name: one for name, one in done.items() if name != "s0.9-r0-seed1"},
            failed={"s0.9-r0-seed1": failure("s0.9-r0-seed1", "the loss is not a number\nsecond line")},
        ),
        "dense only": Results({name: one for name, one in done.items() if one.kind == "dense"}),
        "empty": Results(),
    }.get(world, whole.found)
    run = with_spec(replace(whole, found=found))
    text = write_report(run).read_text("utf-8")
    words = " ".join(Reader(text).words)
    sentence = select_winner(run.spec, found).sentence
    assert sentence in words.replace("\u00a0", " ")
    assert ("the loss is not a number" in words) == (world == "failed")
    assert "second line" not in text
    assert ("nothing to draw" in words) == (world == "empty")
    assert ("Vega-Embed" in words) == (world != "empty")


def test_numbers_do_not_break_from_their_units() -> None:
    assert unbroken("lies −0.12 pp [−0.40, +0.16] at 12 % on test") == (
        "lies −0.12\u00a0pp [−0.40,\u00a0+0.16] at 12\u00a0% on test"
    )


@pytest.mark.usefixtures("no_pdf")
def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    run = with_spec(grid_only(tmp_path / "run", spec_of(seeds=2, grid={"sparsities": [0.9], "rewind": ["0"]})))
    assert write_report(run, tmp_path / "a" / "b") == tmp_path / "a" / "b" / "index.html"
    assert not (tmp_path / "run" / "report").exists()


@pytest.mark.usefixtures("no_pdf")
def test_a_failure_leaves_the_report_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: tuple[FakeRun, Path, Reader]
) -> None:
    path = write_report(report[0], tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    written: list[Path] = []

    def full(path: Path, data: bytes | str) -> None:
        written.append(path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pages, "atomic_write", full)
    with pytest.raises(OSError, match="No space"):
        write_report(report[0], tmp_path)
    assert written
    assert written[0] != path
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


@pytest.mark.usefixtures("no_pdf")
def test_the_same_run_gives_the_same_page(tmp_path: Path, report: tuple[FakeRun, Path, Reader]) -> None:
    _, path, _ = report
    assert write_report(report[0], tmp_path).read_bytes() == path.read_bytes()


def test_a_missing_extra_is_told_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = FakeRun(tmp_path / "run", spec_of(), Results())
    for module, package in (("altair", "altair"), ("vl_convert", "vl-convert-python"), ("jinja2", "jinja2")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(MissingExtraError, match=rf"{package}.*pip install 'lth\[report\]'"):
                write_report(run)
    assert not run.path.exists()


def test_a_real_run_directory(tmp_path: Path) -> None:
    spec = spec_of(seeds=2, confirm=0, grid={"sparsities": [0.8, 0.9], "rewind": ["0", "1ep"]})
    fake = grid_only(tmp_path / "fake", spec)
    run = start_run(tmp_path / "run", spec, 'name = "as written"\n')
    for result in fake.found.done.values():
        folder = f"dense/seed{result.seed}" if result.kind == "dense" else f"cells/{result.id}"
        path = run.artefact(result, "metrics.jsonl")
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in fake.metrics(result)))
        assert run.publish(folder, result)
    text = write_report(open_run(run.path)).read_text("utf-8")
    assert "name = &#34;as written&#34;" in text
    assert open_run(run.path).describe()["test_first_shown"]
