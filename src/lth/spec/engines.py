"""What the engines that start workers are told: the tables `[execute.mpi]` and `[execute.spark]`."""

from __future__ import annotations

import re
import shlex
from typing import Annotated

from pydantic import AfterValidator

from lth.spec.recipe import Section
from lth.spec.values import Text, refused

COMMAND_CURE = 'Write it as in a shell, the count of workers as {workers}: "mpiexec -n {workers}"'


def _command(value: str) -> str:
    unknown = [name for name in re.findall(r"\{(.*?)\}", value) if name != "workers"]
    if unknown:
        raise refused(f"has an unknown {{{unknown[0]}}}", COMMAND_CURE)
    try:
        words = shlex.split(value)
    except ValueError:
        raise refused("a quotation mark without its partner", COMMAND_CURE) from None
    if not words:
        raise refused("names no program", COMMAND_CURE)
    return value


Command = Annotated[Text, AfterValidator(_command)]


class Mpi(Section):
    """The words that the worker's own command is put behind."""

    command: Command = "mpiexec -n {workers}"


class Spark(Section):
    """Where Spark runs: "local[2]", "spark://HOST:PORT", "yarn", "k8s://..."."""

    master: Text = "local[*]"
