"""The report of a run: one offline HTML page, a PDF of every chart, and a CSV of every network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

from lth.errors import MissingExtraError
from lth.report import headline, provenance, table
from lth.report.accuracy import accuracy, early_accuracy, early_stop
from lth.report.chart import Figure, for_print
from lth.report.closeness import closeness
from lth.report.command import command
from lth.report.curves import layer_densities, training
from lth.report.heat_map import heat_map
from lth.report.others import arm_rows, others
from lth.report.palette import custom_properties, light
from lth.report.summary import Group, Groups, groups
from lth.report.verdicts import corrections, tally, verdict_rows
from lth.results import tables
from lth.results.select import select_winner
from lth.results.selection import Selection
from lth.runs.files import atomic_write, make_folder
from lth.runs.records import Failure, Results
from lth.runs.run import Run
from lth.version import __version__

TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: Run, into: Path | None = None) -> Path:
    """Returns the path of the page it wrote, `index.html` in `into` or in the run's own folder `report`.

    Beside it stand `results.csv` and `figures/*.pdf`; every file is whole or as it was before, the page comes last.
    Raises MissingExtraError without the extra `report`, RunError where the folder cannot be written.
    """
    _needs("altair", "vl_convert", "jinja2")
    results = run.results()
    selection, found = select_winner(run.spec, results), groups(run.spec, results)
    folder = make_folder(into if into is not None else run.layout.report)
    figures = _figures(run, found, selection)
    page = _page(run, results, found, selection, figures)
    tables.write_csv(folder / "results.csv", tables.rows(results, selection.shown))
    make_folder(folder / "figures")
    for figure in (figure for group in figures for figure in group):
        atomic_write(folder / "figures" / f"{figure.name}.pdf", _pdf(figure))
    if selection.shown:
        run.test_shown()
    atomic_write(folder / "index.html", page)
    return folder / "index.html"


def _needs(*packages: str) -> None:
    for package in packages:
        try:
            import_module(package)
        except ImportError as problem:
            name = package.replace("vl_convert", "vl-convert-python")
            raise MissingExtraError(name, "report", "The report") from problem


def _figures(run: Run, found: Groups, selection: Selection) -> list[list[Figure]]:
    """The charts in rows of one or two."""
    winner = (selection.sparsity, selection.rewind)
    rows = [
        [accuracy(found, winner), closeness(run.spec, found, selection)],
        [early_stop(found, winner), early_accuracy(found, winner)],
        [heat_map(run.spec, found, winner)],
        [others(found, winner)],
        [layer_densities(found), training(_arms(run, found, selection))],
    ]
    drawn = [[figure for figure in row if figure is not None] for row in rows]
    return [part for row in drawn for part in _side_by_side(row)]


def _side_by_side(row: list[Figure]) -> list[list[Figure]]:
    """One row, or a row each where one chart is much taller than another; nothing for an empty row."""
    heights = [figure.chart["height"] for figure in row]
    return [[figure] for figure in row] if row and max(heights) > 1.5 * min(heights) else [row] if row else []


def _arms(run: Run, found: Groups, selection: Selection) -> dict[str, list[list[dict[str, Any]]]]:
    """The training curves of dense, the selected ticket and its controls, on the grid's seeds."""
    chosen: list[Group] = [] if found.dense is None else [found.dense]
    chosen += found.at(selection.sparsity, selection.rewind) if selection.rewind is not None else ()
    names = ["dense" if group.dense else group.control or "ticket" for group in chosen]
    return {name: [run.metrics(result) for result in group.results] for name, group in zip(names, chosen, strict=True)}


def _pdf(figure: Figure) -> bytes:
    import vl_convert

    return vl_convert.vegalite_to_pdf(light(json.dumps(for_print(figure.chart))), allowed_base_urls=[])


def _page(run: Run, results: Results, found: Groups, selection: Selection, figures: Sequence[Sequence[Figure]]) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    head = run.describe()
    verdict, tone = headline.badge(selection)
    text = _spec_as_written(run)
    columns, rows = table.rows(found, (selection.sparsity, selection.rewind), selection.shown)
    judged, beside = verdict_rows(run.spec, found, selection), arm_rows(found, selection.arms)
    return environment.get_template("page.html.j2").render(
        name=run.spec.name,
        badge=verdict,
        tone=tone,
        sentence=selection.sentence,
        context=headline.context(run.spec, found),
        keys=headline.keys(found, selection),
        notes=selection.notes,
        axis=selection.rewind_axis.sentence if selection.rewind_axis else "",
        controls=_controls(selection),
        verdicts={"columns": judged[0], "rows": judged[1], **_verdicts(selection)},
        arms={"columns": beside[0], "rows": beside[1]},
        figures=figures,
        columns=columns,
        rows=rows,
        failures=[_failure(failure) for failure in results.failed.values()],
        command=command(run.spec, text or "", run.path.resolve().name),
        facts=provenance.facts(run.spec, results, head),
        spec=text or json.dumps(run.spec.model_dump(mode="json"), indent=1),
        as_written=text is not None,
        terms=headline.terms(run.spec, found),
        version=__version__,
        **_look(figures),
    )


def _look(figures: Sequence[Sequence[Figure]]) -> dict[str, Any]:
    """Style, scripts and charts: all trusted but the charts' data, which are escaped for a script element.

    The policy forbids every load, and every script but these two by their hashes.
    """
    from markupsafe import Markup

    charts = {figure.name: figure.chart for row in figures for figure in row}
    library, script = (_library(), (TEMPLATES / "page.js").read_text("utf-8")) if charts else ("", "")
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in (library, script) if text) or "'none'"
    return {
        "policy": Markup(f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:"),
        "light": Markup(custom_properties(0)),
        "dark": Markup(custom_properties(1)),
        "style": Markup((TEMPLATES / "style.css").read_text("utf-8")),
        "library": Markup(library),
        "script": Markup(script),
        "charts": Markup(script_json(charts)),
    }


@lru_cache(maxsize=1)
def _library() -> str:
    """The Vega libraries as one script, which the packages installed here hold; nothing is fetched."""
    import vl_convert

    text = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert "</script" not in text.lower(), "the library would end its own script element"
    return text


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def script_json(value: Any) -> str:
    """Returns `value` as JSON that may stand in a script element: no text in it can end or open a tag."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def unbroken(text: str) -> str:
    """Returns `text` with no line break inside "1.00 pp", "12 %" or "[−0.69, +0.69]"."""
    kept = re.sub(r"(?<=\d) (?=%|pp\b)", "\u00a0", text)
    return re.sub(r"\[[^\[\]]{1,40}\]", lambda found: found[0].replace(" ", "\u00a0"), kept)


def _controls(selection: Selection) -> list[str]:
    """The sentence of each control at the selected cell, on test where there is one."""
    found: dict[str, str] = {}
    for one in selection.controls:
        if one.sparsity == selection.sparsity:
            found.setdefault(one.control, one.sentence)
    return list(found.values())


def _verdicts(selection: Selection) -> dict[str, Any]:
    """What stands above and below the table of verdicts."""
    chosen = selection.level_verdict
    return {"said": tally(selection), "chosen": chosen.details if chosen else (), "tests": corrections(selection)}


def _failure(failure: Failure) -> dict[str, str]:
    message = next(iter(failure.message.strip().splitlines()), "")
    step = "" if failure.step is None else str(failure.step)
    return {"id": failure.id, "error": failure.error, "step": step, "message": message}


def _spec_as_written(run: Run) -> str | None:
    """The text of `spec.toml`; None for a run that was started from Python."""
    try:
        return run.layout.spec.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
