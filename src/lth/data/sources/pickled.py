"""Values of a pickle, read without running anything: numbers, text, lists, dictionaries, arrays of whole numbers.

Unpickling calls whatever a file names. Here pickletools takes the file apart and a few instructions are followed by
hand: a call becomes a record of what was to be called, and arrays are made from such records afterwards. So no name in
a file is ever looked up, and a number in it (a shape, a place in the memo) sets no memory aside; a restricted Unpickler
would do both.
"""

from __future__ import annotations

import math
import pickletools
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

from lth.errors import DataError

# An instruction of one byte may make an object of 64.
MOST_STEPS = 1_000_000
MOST_DIMENSIONS = 4
CURE = "Files of whole numbers, text and arrays in pickle protocols 2 to 5 are read; fetch the file again."

RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
FROM_BUFFER = ("numpy.core.numeric _frombuffer", "numpy._core.numeric _frombuffer")
ARRAY, KIND, ENCODE = "numpy ndarray", "numpy dtype", "_codecs encode"
NAMES = {*RECONSTRUCT, *FROM_BUFFER, ARRAY, KIND, ENCODE}

PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
PLAIN |= {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
TEXT_OF_PYTHON_2 = {"BINSTRING", "SHORT_BINSTRING"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class Name:
    """A function or a class that a file names: "module name"."""

    text: str


@dataclass(eq=False)
class Call:
    """A call that a file asks for: what, with which arguments, and the state set afterwards."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


def read_pickle(content: bytes, at: str) -> Any:
    """Returns the value in a pickle; what is an array there is a Call, for `array_of`. Text of Python 2 is bytes.

    Raises DataError, with the offset, for anything but plain values and numpy's arrays, and for damage.
    """
    stream, machine, offset = BytesIO(content), _Machine(len(content)), 0
    try:
        for step, (code, value, found) in enumerate(pickletools.genops(stream)):
            offset = found or 0
            if step >= MOST_STEPS:
                raise ValueError(f"more than {MOST_STEPS} instructions")
            if code.name == "STOP":
                break
            machine.follow(code.name, value)
        if len(machine.stack) != 1 or machine.marks or stream.tell() != len(content):
            raise ValueError("does not end with its one value")
    except ValueError as problem:
        what = f"not a pickle that can be read: {str(problem)[:200]}"
        raise DataError(what, at=f"{at}, offset {offset}", cure=CURE) from problem
    return machine.stack[0]


def array_of(value: object) -> np.ndarray | None:
    """Returns the array that a Call stands for, whole numbers or bytes of any width; None for anything else."""
    match value:
        case Call(name, _, (_, shape, kind, bool(columns), data)) if name in RECONSTRUCT:
            order = "F" if columns else "C"
        case Call(name, (data, kind, shape, "C" | "F" as order)) if name in FROM_BUFFER:
            pass
        case _:
            return None
    kind = _kind(kind)
    if kind is None or not isinstance(data, bytes | bytearray) or not isinstance(shape, tuple):
        return None
    if len(shape) > MOST_DIMENSIONS or not all(type(one) is int and 0 <= one <= len(data) for one in shape):
        return None
    if math.prod(shape) * kind.itemsize != len(data):
        return None
    return np.frombuffer(data, kind).reshape(shape, order=order)


def _kind(value: object) -> np.dtype | None:
    """Returns the type of whole numbers that a Call stands for."""
    match value:
        case Call(name, (str() | bytes() as code, *_), state) if name == KIND:
            order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        case _:
            return None
    code, order = (one.decode("latin-1") if isinstance(one, bytes) else one for one in (code, order))
    if code not in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8") or order not in ("|", "<", ">"):
        return None
    return np.dtype(order + code)


@dataclass
class _Machine:
    """Stack, marks and memo of a pickle being read. Raises ValueError for an instruction that is not followed."""

    spare: int  # bytes that text may still be encoded to: it could be encoded over and over
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def follow(self, code: str, value: Any) -> None:
        if code in PLAIN:
            self.stack.append(value)
        elif code in TEXT_OF_PYTHON_2:
            self.stack.append(value.encode("latin-1"))
        elif code in CONSTANTS:
            self.stack.append(CONSTANTS[code])
        elif code in TUPLES:
            self.stack.append(tuple(self._pop(TUPLES[code])))
        elif code in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if code == "MEMOIZE" else value] = self._top(object)
        elif code in ("BINGET", "LONG_BINGET"):
            if value not in self.memo:
                raise ValueError(f"nothing is kept under {value}")
            self.stack.append(self.memo[value])
        elif code in ("GLOBAL", "STACK_GLOBAL"):
            self._name([value] if code == "GLOBAL" else self._pop(2))
        elif code not in ("PROTO", "FRAME"):
            self._gather(code)

    def _gather(self, code: str) -> None:
        """Follows an instruction that puts values together."""
        match code:
            case "MARK":
                self.marks.append(len(self.stack))
            case "EMPTY_LIST":
                self.stack.append([])
            case "EMPTY_DICT":
                self.stack.append({})
            case "TUPLE":
                self.stack.append(tuple(self._pop_to_mark()))
            case "APPEND" | "APPENDS":
                values = self._pop(1) if code == "APPEND" else self._pop_to_mark()
                self._top(list).extend(values)
            case "SETITEM" | "SETITEMS":
                self._set(self._pop(2) if code == "SETITEM" else self._pop_to_mark())
            case "REDUCE":
                self._call(*self._pop(2))
            case "BUILD":
                (state,) = self._pop(1)
                self._top(Call).state = state
            case _:
                raise ValueError(f"the instruction {code} is not followed")

    def _set(self, values: list[Any]) -> None:
        keys = values[::2]
        if len(values) % 2 or not all(type(key) in (str, bytes) for key in keys):
            raise ValueError("a dictionary whose keys are not text")
        self._top(dict).update(zip(keys, values[1::2], strict=True))

    def _name(self, words: list[Any]) -> None:
        name = " ".join(word for word in words if isinstance(word, str))
        if name not in NAMES:
            raise ValueError(f"it asks for {name[:80]!r}, which is refused")
        self.stack.append(Name(name))

    def _call(self, name: Any, arguments: Any) -> None:
        if not isinstance(name, Name) or name.text == ARRAY or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is no function")
        if name.text != ENCODE:
            self.stack.append(Call(name.text, arguments))
            return
        match arguments:
            case (str(text), "latin1" | "latin-1") if len(text) <= self.spare:
                self.spare -= len(text)
                self.stack.append(text.encode("latin-1"))
            case _:
                raise ValueError("text that does not become bytes as latin1")

    def _pop(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        if start < (self.marks[-1] if self.marks else 0):
            raise ValueError("too few values on the stack")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise ValueError("no mark on the stack")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _top(self, kind: type) -> Any:
        if not self.stack or len(self.stack) == (self.marks[-1] if self.marks else 0):
            raise ValueError("too few values on the stack")
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {kind.__name__} is missing on the stack")
        return self.stack[-1]
