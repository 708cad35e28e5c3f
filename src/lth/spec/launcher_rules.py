"""The rules of launchers: what each needs in `[execute]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lth.spec.values import refused

if TYPE_CHECKING:
    from lth.spec.schema import Spec

# Braces in a command of the template launcher; those of the shell, ${SCRATCH}, are its own affair.
BRACES = re.compile(r"(?<!\$)\{(\w+)\}")
IN_SUBMIT = ("script", "name")
IN_CANCEL = ("id", "script", "name")


def broken_in_launcher(spec: Spec) -> Iterator[PydanticCustomError]:
    """Yields an error for each rule of launchers that `spec` breaks."""
    yield from _template_commands(spec)
    execute = spec.execute
    if execute.launcher != "template":
        return
    if execute.template is None:
        what, cure = "missing", 'Add [execute.template] with file = "submit.sh" and submit = "sbatch {script}"'
        yield refused(what, cure, key="execute.template", needs=("execute.launcher",))
    if execute.workers == "auto":
        what, cure = "counts the cores of this machine, not of the cluster", "Give a number, for example workers = 8"
        yield refused(what, cure, key="execute.workers", value="auto", needs=("execute.launcher",))


def _template_commands(spec: Spec) -> Iterator[PydanticCustomError]:
    """Checked whether or not the launcher is chosen: a wrong command is no resting one."""
    template = spec.execute.template
    if template is None:
        return
    for key, command, known in (("submit", template.submit, IN_SUBMIT), ("cancel", template.cancel or "", IN_CANCEL)):
        names = BRACES.findall(command)
        unknown = [name for name in names if name not in known]
        path = f"execute.template.{key}"
        if unknown:
            cure = f"Known are {', '.join(f'{{{name}}}' for name in known)}"
            yield refused(f"has an unknown {{{unknown[0]}}}", cure, key=path, value=command)
        elif key == "submit" and "script" not in names:
            cure = 'Name it, for example submit = "qsub {script}"'
            yield refused("does not say where the script goes", cure, key=path, value=command)
