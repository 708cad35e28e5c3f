"""A submit script of the user's own, and the commands around it: the table `[execute.template]`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from lth.spec.recipe import Section
from lth.spec.values import Flag, Text, refused

# Braces in a command; those of the shell, ${SCRATCH}, are its own affair.
BRACES = re.compile(r"(?<!\$)\{(\w+)\}")
IN_SUBMIT = ("script", "name")
IN_CANCEL = ("id", "script", "name")


def _submit(value: str) -> str:
    if "script" not in _known(value, IN_SUBMIT):
        raise refused("does not say where the script goes", 'Name it: "qsub {script}"')
    return value


def _cancel(value: str) -> str:
    _known(value, IN_CANCEL)
    return value


def _known(value: str, names: tuple[str, ...]) -> list[str]:
    found: list[str] = BRACES.findall(value)
    if unknown := [name for name in found if name not in names]:
        raise refused(f"has an unknown {{{unknown[0]}}}", f"Known are {', '.join(f'{{{name}}}' for name in names)}")
    return found


class Template(Section):
    """The script, the shell commands that submit and cancel it, and whether workers wait while nothing is ready."""

    file: Text
    submit: Annotated[Text, AfterValidator(_submit)]
    cancel: Annotated[Text, AfterValidator(_cancel)] | None = None
    wait: Flag = False
