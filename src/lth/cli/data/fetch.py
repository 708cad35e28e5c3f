"""`lth data fetch`: a published data set by its name, or the files of a list."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lth.cli.data.meter import Meter, size
from lth.cli.work import emit

if TYPE_CHECKING:
    from lth.data.fetching.listed import FetchReport, Item

SHOWN = 20


def fetch(
    name: Annotated[str | None, typer.Argument(help="mnist, fashion_mnist, cifar10 or cifar100.")] = None,
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="Where to; default data/NAME.")] = None,
    mirror: Annotated[
        list[str] | None, typer.Option("--mirror", help="Address below which the files lie. May be repeated.")
    ] = None,
    list_: Annotated[
        Path | None, typer.Option("--from", help="A list instead of a name, lines of: URL SHA256 [NAME]")
    ] = None,
    into: Annotated[Path | None, typer.Option("--into", help="Where the files of the list go; default data.")] = None,
    engine: Annotated[Literal["local", "spark"], typer.Option(help="What brings the files of a list.")] = "local",
    master: Annotated[str | None, typer.Option(help="The Spark master; default local[*].")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Files under way at once.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Bring a data set, or the files of a list, checked by sha256. Repeat it to go on after an interruption."""
    if (name is None) == (list_ is None):
        raise typer.BadParameter("give the name of a data set, or a list with --from")
    if list_ is None:
        if into is not None or engine == "spark" or master is not None:
            raise typer.BadParameter("--into, --engine and --master belong to --from")
        return _published(str(name), folder, mirror or [], as_json)
    if mirror or folder is not None:
        raise typer.BadParameter("a mirror and DIR belong to the name of a data set; a list goes --into a folder")
    if master is not None and engine == "local":
        raise typer.BadParameter("--master belongs to --engine spark")
    from lth.data.fetching.url_list import read_list

    items, into = read_list(list_), into or Path("data")
    reports = _reports(items, into, engine, master, jobs)
    if _summary(reports, len(items), into, as_json):
        raise typer.Exit(1)


def _published(name: str, folder: Path | None, mirrors: list[str], as_json: bool) -> None:
    from lth.data.fetching.download import Patience
    from lth.data.fetching.known import fetch as bring

    with Meter("fetched") as meter:
        source = bring(name, folder or Path("data") / name, mirrors, Patience(tries=4), meter.told)
    if as_json:
        return emit({"source": source, "bytes_fetched": meter.count})
    print(f"{name}: whole; {size(meter.count)} fetched. In the spec write:", file=sys.stderr)
    print(f"source = {json.dumps(source, ensure_ascii=False)}")  # a string of JSON is one of TOML too


def _reports(items: list[Item], into: Path, engine: str, master: str | None, jobs: int) -> Iterator[FetchReport]:
    """Yields the report of each file as it is done."""
    from lth.data.fetching.listed import fetch_all

    done = failed = 0
    with Meter("fetched", more=lambda: f", {done} of {len(items)} files, {failed} failed") as meter:
        reports = _on_spark(items, into, master) if engine == "spark" else fetch_all(items, into, jobs, told=meter.told)
        for report in reports:
            done, failed = done + 1, failed + (report.state == "failed")
            if engine == "spark":  # its workers tell of a file when it is done
                meter.told(report.brought)
            yield report


def _on_spark(items: list[Item], into: Path, master: str | None) -> Iterator[FetchReport]:
    from functools import partial

    from lth.data.fetching.listed import fetch_item
    from lth.runs.files import make_folder
    from lth.spark.spread import spark_map

    folder = make_folder(into).resolve()
    yield from spark_map(partial(fetch_item, folder=folder), items, master, shared=folder)


def _summary(reports: Iterable[FetchReport], total: int, into: Path, as_json: bool) -> bool:
    """Returns whether a file failed; prints what became of them all."""
    began, count, brought = time.monotonic(), {"fetched": 0, "there": 0, "failed": 0}, 0
    failures: list[FetchReport] = []
    for report in reports:
        count[report.state] += 1
        brought += report.brought
        if report.state == "failed":
            failures.append(report)
    seconds = time.monotonic() - began
    failures.sort(key=lambda one: one.name)
    if as_json:
        named = [{"name": one.name, "url": one.url, "reason": one.reason} for one in failures]
        emit({**count, "bytes_fetched": brought, "seconds": round(seconds, 3), "into": str(into), "failures": named})
        return bool(failures)
    for one in failures[:SHOWN]:
        print(f"failed: {_printable(f'{one.name}: {one.reason}')}", file=sys.stderr)
    if len(failures) > SHOWN:
        print(f"... and {len(failures) - SHOWN} more; --json lists them all", file=sys.stderr)
    told = f"{count['fetched']} of {total} files fetched, {count['there']} were there, {count['failed']} failed"
    print(f"{into}: {told}; {size(brought)} in {seconds:.1f} s")
    if failures:
        print("The same command tries again what failed.", file=sys.stderr)
    return bool(failures)


def _printable(text: str) -> str:
    """Returns `text` without control characters: what a server says may hold sequences that command the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
