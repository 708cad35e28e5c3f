"""Submit scripts of the user's own, filled in and written into the run directory.

Placeholders are written @RUN@, so that neither the shell's $ and braces nor YAML's mean anything here. A script that
names @WORKERS@ and not @INDEX@ makes an array itself, so that one is written; any other is written once a worker.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from lth.errors import SpecError
from lth.runs.files import atomic_write, make_folder
from lth.runs.run import Run
from lth.spec.template import Template

PLACEHOLDER = re.compile(r"@([A-Z][A-Z_]*)@")
UNSAFE = re.compile(r"[\"'`$\\\n]")  # in a path they would end, or do something in, a quoted word of the script


def write_scripts(run: Run, template: Template, workers: int) -> list[Path]:
    """Returns the scripts for so many workers, filled in and written to RUN/template.

    Raises SpecError with every problem of the user's script: no such file, unknown placeholders, no worker started.
    """
    source = Path(template.file)
    text = _text(source)
    values = _values(run, template, workers)
    if lines := list(_problems(text, values)):
        raise SpecError(lines, at=source)
    target = make_folder(run.path / "template")
    paths: list[Path] = []
    once = "@WORKERS@" in text and "@INDEX@" not in text
    for number in range(1, min(workers, 1) + 1) if once else range(1, workers + 1):
        own = {**values, "INDEX": str(number)}
        paths.append(target / f"{source.stem}{'' if once else f'-{number}'}{source.suffix}")
        atomic_write(paths[-1], PLACEHOLDER.sub(lambda found, own=own: own[found[1]], text))
    return paths


def _text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8")
    except FileNotFoundError:
        what = f"execute.template.file: no such file. Name it as it is seen from {Path.cwd()}, or write one"
    except (OSError, UnicodeDecodeError) as problem:
        what = f"execute.template.file: cannot be read as text: {problem}. Name a submit script"
    raise SpecError([what], at=source)


def _values(run: Run, template: Template, workers: int) -> dict[str, str]:
    path = str(run.path.resolve())
    work = [sys.executable, "-m", "lth", "work", path, *(["--wait"] if template.wait else [])]
    return {
        "WORK": shlex.join(work), "RUN": path, "PYTHON": sys.executable, "FOLDER": str(Path.cwd()),
        "NAME": run.spec.name, "WORKERS": str(workers), "INDEX": "",
    }  # fmt: skip


def _problems(text: str, values: Mapping[str, str]) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for name in PLACEHOLDER.findall(line):
            if name not in values:
                close = get_close_matches(name, values, 1)
                cure = (
                    f"Did you mean @{close[0]}@?" if close else f"Known are {', '.join(f'@{one}@' for one in values)}"
                )
                yield f"line {number}: unknown placeholder @{name}@. {cure}"
    used = set(PLACEHOLDER.findall(text))
    if not used & {"WORK", "RUN"}:
        yield "starts no worker. Add a line with @WORK@, the command that is one"
    for name in ("RUN", "PYTHON", "FOLDER"):
        if name in used and UNSAFE.search(values[name]):
            yield f"@{name}@ would be {values[name]!r}. Choose a path without quotes, $ and backslashes"
