"""`lth data prepare`: images of any source as shards of one size."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lth.cli.work import emit
from lth.errors import LthError

if TYPE_CHECKING:
    from lth.data.listing import Source
    from lth.data.prepare import Run, Summary

    Engine = tuple[Run, Callable[[str], Source]]

QUALITY = 90
NAMED = 5


def prepare(
    source: Annotated[str, typer.Argument(help="Such as imagefolder:DIR, imagenet_tars:DIR, tfrecord:GLOB.")],
    out: Annotated[Path, typer.Argument(help="The directory that is to hold the shards.")],
    size: Annotated[int, typer.Option("--size", help="Height and width of every image in pixels.")],
    policy: Annotated[
        Literal["squash", "center", "keep256"],
        typer.Option("--policy", help="The whole image, its central square, or the centre of its 256-pixel version."),
    ] = "center",
    codec: Annotated[Literal["raw", "jpeg"], typer.Option("--codec", help="Rows as pixels, or as JPEG.")] = "raw",
    quality: Annotated[int | None, typer.Option("--quality", help="Of --codec jpeg, 1 to 100; default 90.")] = None,
    engine: Annotated[Literal["local", "spark"], typer.Option("--engine", help="Who makes the shards.")] = "local",
    master: Annotated[str | None, typer.Option("--master", help="Of Spark: its URL; default local[*].")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes of --engine local; default one a core.")
    ] = None,
    max_failures: Annotated[
        str, typer.Option("--max-failures", help="How many images may be undecodable: 12, 0.001 or 0.1%.")
    ] = "0.1%",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Decode and resize the images of a source once and for all; goes on where it was interrupted."""
    from lth.cli.data.preparing import Preparing
    from lth.data.prepare import FailuresError, prepare
    from lth.data.shard_task import Recipe

    if codec == "jpeg" and quality is None:
        quality = QUALITY
    most = _most(max_failures)
    try:
        with _interrupting(), _engine(engine, master, workers) as (run, listing), Preparing() as told:
            recipe = Recipe(size, policy, codec, quality)
            summary = prepare(source, out, recipe, run=run, max_failures=most, told=told, listing=listing)
    except FailuresError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise typer.Exit(1) from None
    emit(_facts(summary, engine)) if as_json else print("\n".join(_lines(summary)))


@contextlib.contextmanager
def _engine(engine: str, master: str | None, workers: int | None) -> Generator[Engine]:
    """Yields what makes shards and what lists the source; nothing starts before it is asked for anything."""
    ignored = {"--master": master} if engine == "local" else {"--workers": workers}
    for option, value in ignored.items():
        if value is not None:
            raise LthError(f"would be ignored by --engine {engine}", at=option, value=value, cure="Drop it.")
    if engine == "spark":
        from lth.data.prepare_spark import spark_engine

        with spark_engine(master) as spark:
            yield spark, spark.listing
        return
    from lth.data.listings import open_listing
    from lth.data.prepare_local import local_engine

    with local_engine(workers) as run:
        yield run, open_listing


def _most(text: str) -> int | float:
    """Returns a number of images, an int, or a share of them, a float."""
    cure = "Write a number of images (12) or a share of them (0.001 or 0.1%)."
    if re.fullmatch(r"\d{1,12}", text):
        return int(text)
    if not re.fullmatch(r"\d*\.?\d+%?", text):
        raise LthError("neither a number nor a share", at="--max-failures", value=text, cure=cure)
    share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    if share > 1:
        raise LthError("more than all", at="--max-failures", value=text, cure=cure)
    return share


@contextlib.contextmanager
def _interrupting() -> Generator[None]:
    """Has TERM answered as Ctrl-C is: what was begun is cleared away, what is finished stays."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _facts(summary: Summary, engine: str) -> dict[str, Any]:
    parts = {
        part: {
            "rows": manifest.n,
            "failures": len(manifest.failures),
            "classes": len(manifest.classes),
            "shards": len(manifest.shards),
            "bytes": sum(file.bytes for file in manifest.files()),
            "dataset_id": manifest.dataset_id,
        }
        for part, manifest in summary.manifests.items()
    }
    totals = {key: sum(part[key] for part in parts.values()) for key in ("rows", "failures", "bytes")}
    rates = {"images_per_second": summary.images_per_second, "seconds": summary.seconds}
    return {"out": str(summary.out), "engine": engine, "already": summary.already, **totals, **rates, "parts": parts}


def _lines(summary: Summary) -> list[str]:
    lines = [f"{summary.out}: was there already, nothing is left to do"] if summary.already else []
    for part, manifest in summary.manifests.items():
        size = sum(file.bytes for file in manifest.files()) / 1e6
        lines.append(
            f"{part}: {manifest.n} images of {len(manifest.classes)} classes in {len(manifest.shards)} shards, "
            f"{size:.1f} MB"
        )
        lines.append(f"{part}: dataset_id {manifest.dataset_id}")
        if manifest.failures:
            lines.append(f"{part}: {len(manifest.failures)} images could not be decoded:")
            lines += [f"  {one.source}: {one.reason}" for one in manifest.failures[:NAMED]]
            if len(manifest.failures) > NAMED:
                lines.append(f"  and {len(manifest.failures) - NAMED} more, in {summary.out / part / 'manifest.json'}")
    if summary.images_per_second is not None:
        lines.append(f"{summary.images_per_second:.1f} images/s, {summary.seconds:.1f} s")
    return lines
