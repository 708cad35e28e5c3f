"""A moment of training, written "2ep", "500it" or "3ep12it"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from lth.spec.values import refused

_PATTERN = re.compile(r"(?:([0-9]{1,9})ep)?(?:([0-9]{1,9})it)?")


def _written_as(kind: Any, cure: str) -> core_schema.CoreSchema:
    """How pydantic reads and writes a moment, which its own `parse` and `str` turn into text and back."""

    def read(value: Any) -> Any:
        try:
            return value if isinstance(value, kind) else kind.parse(value)
        except ValueError:
            raise refused("not a moment of training", cure) from None

    written = core_schema.plain_serializer_function_ser_schema(str)
    return core_schema.no_info_plain_validator_function(read, serialization=written)


@dataclass(frozen=True, order=True)
class Step:
    """A moment of training: so many whole epochs plus so many iterations (optimizer steps)."""

    epochs: int = 0
    iterations: int = 0

    @classmethod
    def parse(cls, text: str | int) -> Step:
        """Returns the Step that `text` writes; raises ValueError with the accepted forms."""
        if text == "0" or (type(text) is int and text == 0):
            return cls()
        found = _PATTERN.fullmatch(text) if isinstance(text, str) and text else None
        if found is None:
            raise ValueError('write a moment of training as "2ep", "500it", "3ep12it" or "0"')
        return cls(int(found[1] or 0), int(found[2] or 0))

    def index(self, steps_per_epoch: int) -> int:
        """Returns the number of optimizer steps done at this moment."""
        return self.epochs * steps_per_epoch + self.iterations

    def canonical(self, steps_per_epoch: int) -> Step:
        """Returns the same moment with fewer iterations than an epoch has: "500it" of 391 an epoch is "1ep109it"."""
        return Step(*divmod(self.index(steps_per_epoch), steps_per_epoch))

    def __str__(self) -> str:
        epochs = f"{self.epochs}ep" if self.epochs else ""
        iterations = f"{self.iterations}it" if self.iterations else ""
        return epochs + iterations or "0"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _written_as(cls, 'Write it as "2ep", "500it", "3ep12it" or "0"')


@dataclass(frozen=True)
class MaskFrom:
    """A moment of the dense training: a share of it, written "50%", or a Step."""

    percent: int = 100
    step: Step | None = None

    @classmethod
    def parse(cls, text: str | int) -> MaskFrom:
        """Returns the moment that `text` writes; raises ValueError with the accepted forms."""
        if isinstance(text, str) and re.fullmatch(r"([1-9][0-9]?|100)%", text):
            return cls(int(text[:-1]))
        return cls(100, Step.parse(text))

    def index(self, last_step: int, steps_per_epoch: int) -> int:
        """Returns the number of optimizer steps done at this moment of a training of `last_step` steps."""
        if self.step is not None:
            return self.step.index(steps_per_epoch)
        return max(1, self.percent * last_step // 100)

    def __str__(self) -> str:
        return f"{self.percent}%" if self.step is None else str(self.step)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return _written_as(cls, 'Write it as "50%", "20ep" or "500it"')
