"""The one tree of errors a user of `lth` can meet."""

from __future__ import annotations

from collections.abc import Callable


class LthError(Exception):
    """A user's problem, worded as: where it is, what is wrong, the value found, and the cure.

    `at` names a file, a key or an offset (or several of them joined); `value` is shown as Python
    would print it, shortened; `cure` is an imperative sentence.
    """

    def __init__(self, what: str, *, at: object = None, value: object = None, cure: str | None = None):
        self.what, self.at, self.value, self.cure = what, at, value, cure
        text = f"{at}: {what}" if at is not None else what
        if value is not None:
            shown = repr(value)
            text += f" (found {shown if len(shown) <= 120 else shown[:117] + '...'})"
        super().__init__(f"{text}. {cure}" if cure else text)

    def __reduce__(self) -> tuple[Callable[..., LthError], tuple[object, ...]]:
        """Returns what pickle needs to bring the error to another process, whatever its `__init__` takes."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[LthError], arguments: tuple[object, ...], attributes: dict[str, object]) -> LthError:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    error.__dict__.update(attributes)
    return error


class SpecError(LthError):
    """A spec that cannot be used; `problems` holds every problem of the file, one line each."""

    def __init__(self, problems: list[str], *, at: object = None):
        self.problems = problems
        head = f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in the spec"
        super().__init__(head + "".join(f"\n  {line}" for line in problems), at=at)


class DataError(LthError):
    """A data file or folder that is missing, damaged, or not what its name says."""


class ModelError(LthError):
    """A model that cannot be built, or whose layers cannot be pruned as asked."""


class RunError(LthError):
    """A run directory that cannot be used: another experiment, a newer format, a damaged record."""


class TrainingError(LthError):
    """A training that cannot go on, such as a loss that is not a number; `at` names the step."""


class NotLearningError(TrainingError):
    """The learning guard's stop: a dense network no better than always naming the largest class."""


class AuditError(LthError):
    """A broken invariant of pruning, rewinding or resuming; the message names the check."""


class TicketError(LthError):
    """A ticket file that cannot be read, or a model it does not fit."""


class MissingExtraError(LthError):
    """An optional part that is not installed; the cure is the line that installs it."""

    def __init__(self, package: str, extra: str, purpose: str):
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            cure=f"Install it with: pip install 'lth[{extra}]'",
        )
