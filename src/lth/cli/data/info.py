"""`lth data info`: what prepared data are, in words, numbers and 25 pictures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lth.cli.data.meter import size
from lth.cli.work import emit

if TYPE_CHECKING:
    from lth.data.info import Info

LISTED = 20


def info(
    out: Annotated[Path, typer.Argument(help="The folder that lth data prepare made.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", dir_okay=False, help="Draw 25 images of train into this PNG file.")
    ] = None,
) -> None:
    """Print what prepared data are: classes, counts, statistics, sizes, how they were made."""
    from lth.data.info import read_info

    found = read_info(out)
    if sheet is not None:
        from lth.data.sheet import contact_sheet
        from lth.data.verify import part_folders
        from lth.runs.files import atomic_write, make_folder

        folders = part_folders(out)
        drawn = contact_sheet(folders.get("train") or next(iter(folders.values())))
        make_folder(sheet.parent)
        atomic_write(sheet, drawn)
        print(f"25 images of it: {sheet}", file=sys.stderr)
    emit(found.as_json()) if as_json else print("\n".join(_lines(out, found)))


def _lines(out: Path, found: Info) -> list[str]:
    made, versions = found.made, ", ".join(f"{name} {value}" for name, value in found.made["versions"].items())
    quality = f" quality {made['quality']}" if made["quality"] is not None else ""
    rows = [
        ("data", str(out)),
        ("source", found.source),
        ("images", f"{made['size']} x {made['size']} pixels, {made['policy']}, {made['codec']}{quality}"),
        ("made with", f"{made['decoder']}, {made['filter']} ({versions})"),
        ("size", size(sum(one.bytes for one in found.parts))),
    ]
    for one in found.parts:
        low, middle, high = one.spread()
        spread = f"{low}" if low == high else f"{low} to {high}, median {middle:g}"
        original = f"{one.width:.0f} x {one.height:.0f} pixels" if one.width is not None else "unknown"
        rows += [
            (one.part, f"{one.n} images of {found.classes} classes in {one.shards} shards, {size(one.bytes)}"),
            ("  a class", f"{spread} images"),
            ("  left out", f"{one.failures} images"),
            ("  originals", f"{original} on average"),
            ("  mean", "  ".join(f"{value / 255:.4f}" for value in one.mean) + "  of 1"),
            ("  deviation", "  ".join(f"{value / 255:.4f}" for value in one.deviation) + "  of 1"),
            ("  dataset_id", one.dataset_id),
        ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return [_printable(line) for line in [*lines, "", *_classes(found)]]


def _classes(found: Info) -> list[str]:
    """Returns a line for each class with its images by part, of many classes the first and the last."""
    names = list(found.parts[0].counts)
    wide = max([*(len(name) for name in names), len("class")])
    wide = min(wide, 40)
    lines = [f"{'class':<{wide}}" + "".join(f"  {one.part:>9}" for one in found.parts)]
    for number, name in enumerate(names):
        if len(names) > LISTED and LISTED // 2 <= number < len(names) - LISTED // 2:
            if number == LISTED // 2:
                lines.append(f"... {len(names) - LISTED} more; --json lists them all")
            continue
        lines.append(f"{name[:wide]:<{wide}}" + "".join(f"  {one.counts.get(name, 0):>9}" for one in found.parts))
    return lines


def _printable(text: str) -> str:
    """Returns `text` without control characters: a name may hold sequences that command the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
