"""Names of many images, made when they are asked for: a million of them take next to no memory."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lth.data.sources.files import shown

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def escaped(name: bytes) -> str:
    """Returns a name as one line of text, another for every name; what is not UTF-8, and controls, become escapes."""
    text = shown(name.replace(b"\\", b"\\\\"))
    return CONTROL.sub(lambda found: f"\\x{{{ord(found[0]):x}}}", text)


@dataclass(frozen=True)
class Numbered(Sequence[str]):
    """Names such as "FILE#17": the files' names, and before it the number of the images in them, int64 (files + 1,)."""

    files: tuple[str, ...]
    starts: np.ndarray

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        if not 0 <= row < len(self):
            raise IndexError(row)
        file = int(np.searchsorted(self.starts, row, "right")) - 1
        return f"{self.files[file]}#{row - int(self.starts[file])}"


@dataclass(frozen=True)
class Below(Sequence[str]):
    """Names of the files `paths` from the folder on in which they lie; `root` is its path in bytes, with its "/"."""

    paths: tuple[str, ...]
    root: bytes

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        return escaped(os.fsencode(self.paths[row])[len(self.root) :])
