"""What the sbatch scripts of a run say: the table `[execute.slurm]`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from lth.spec.recipe import Section
from lth.spec.values import Count, Text, Whole, refused

FORMS = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")
FORM_CURE = 'Write minutes ("90"), "HH:MM:SS" or "D-HH:MM:SS", as for sbatch --time'


def minutes_of(time: str) -> float:
    """Returns the minutes that a time limit in one of SLURM's forms means.

    M, M:S, H:M:S, D-H, D-H:M and D-H:M:S. Raises ValueError for anything else.
    """
    found = FORMS.fullmatch(time)
    if not found:
        raise ValueError(FORM_CURE)
    first, second, third = (int(found[name] or 0) for name in ("first", "second", "third"))
    if found["days"] is not None:
        return int(found["days"]) * 1440 + first * 60 + second + third / 60
    return first * 60 + second + third / 60 if found["third"] else first + second / 60


def _time(value: str) -> str:
    try:
        minutes = minutes_of(value)
    except ValueError:
        raise refused("not a time limit", FORM_CURE) from None
    if minutes < 1:
        raise refused("a limit of less than a minute", FORM_CURE)
    return value


def _option(value: str) -> str:
    if not value.startswith("-") or "\n" in value:
        raise refused("not one option of sbatch", 'Write it as on the command line: "--mail-type=END"')
    return value


Time = Annotated[Text, AfterValidator(_time)]
Option = Annotated[Text, AfterValidator(_option)]


class Slurm(Section):
    """Options of the jobs, and the lines around the worker.

    A task is one element of the array; it holds `workers_per_task` workers, each with the cores and GPUs of one.
    """

    partition: Text | None = None
    account: Text | None = None
    qos: Text | None = None
    constraint: Text | None = None
    gres: Text | None = None
    mem: Text | None = None
    time: Time = "4:00:00"
    cpus_per_task: Count = 1
    workers_per_task: Count = 1
    setup: tuple[Text, ...] = ()
    prefix: Text | None = None
    extra: tuple[Option, ...] = ()
    requeue: Whole = 20
