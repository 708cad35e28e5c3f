"""The rules of launchers: what each needs in `[execute]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

from lth.spec.values import refused

if TYPE_CHECKING:
    from lth.spec.schema import Spec


def broken_in_launcher(spec: Spec) -> Iterator[PydanticCustomError]:
    """Yields an error for each rule of launchers that `spec` breaks."""
    execute, needs = spec.execute, ("execute.launcher",)
    if execute.launcher not in ("slurm", "template"):
        return
    if execute.launcher == "template" and execute.template is None:
        what, cure = "missing", 'Add [execute.template] with file = "submit.sh" and submit = "sbatch {script}"'
        yield refused(what, cure, key="execute.template", needs=needs)
    if execute.workers == "auto":
        what, cure = "counts the cores of this machine, not of the cluster", "Give a number, for example workers = 8"
        yield refused(what, cure, key="execute.workers", value="auto", needs=needs)
