"""The kinds of values a spec holds, and how a rule of the spec refuses one."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

LARGEST = 2**31 - 1
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
FUNCTION = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


def decimal(value: float) -> str:
    """Returns the shortest exact decimal of `value`, never with an exponent: 0.9 -> "0.9", 1e-05 -> "0.00001"."""
    return format(Decimal(repr(value)).normalize(), "f")


def _unsigned_zero(value: float) -> float:
    return value + 0.0


# Strict scalars: neither true nor "3" is a number. A list stays lax, so that TOML, JSON and Python may give one.
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Count = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
Number = Annotated[float, Field(strict=True), AfterValidator(_unsigned_zero)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=NAME)]
Function = Annotated[str, StringConstraints(pattern=FUNCTION)]


def refused(
    what: str, cure: str, *, key: str = "", value: object = None, needs: tuple[str, ...] = ()
) -> PydanticCustomError:
    """Returns the error of a rule, for a validator to raise.

    A rule that binds several keys names the dotted `key` at fault, the `value` found there, and the other
    keys it `needs`; the error of a single value takes these from where it was raised.
    """
    context = {"what": what, "cure": cure, "key": key, "value": value, "needs": needs}
    return PydanticCustomError("refused", "{key} {what}. {cure}" if key else "{what}. {cure}", context)
