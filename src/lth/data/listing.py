"""What a source of images holds, before any image is read: one row an image, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNKNOWN = -1  # a label that only the record itself tells; a size that is the whole file's


@dataclass(frozen=True, slots=True)
class Entry:
    """One image: its name in the source ("train/n01440764/x.JPEG"), and where its bytes lie.

    `size` bytes at `offset` of the file `path`; what they are is told by the listing's `kind`. `label` may be UNKNOWN.
    """

    name: str
    path: str
    offset: int
    size: int
    label: int


@dataclass(frozen=True)
class Raw:
    """What a reader takes from a source for one entry: an encoded image or pixels uint8 (h,w,c), and its label."""

    content: bytes | np.ndarray
    label: int


@dataclass(frozen=True)
class Listing:
    """The images of one part ("train" or "test") of a source, in the source's order, as columns of n rows.

    `kind` names the reader (`lth.data.reading.READERS`). Row i lies in the file `files[file[i]]`, int32 (n,), at
    `offset[i]`, `size[i]` bytes long, int64 (n,); `label` int64 (n,) is UNKNOWN where the record tells it. `names`
    are unique, relative, with "/" between folders, and hold no absolute path, so that moved data are the same data.
    A million rows take some 150 MB; an `Entry` is made of a row only when it is needed.
    """

    kind: str
    files: tuple[str, ...]
    names: Sequence[str]
    file: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.file)

    def entries(self, rows: np.ndarray) -> list[Entry]:
        """Returns the entries of the rows `rows`, in that order."""
        columns = zip(*(one[rows].tolist() for one in (self.file, self.offset, self.size, self.label)), strict=True)
        return [
            Entry(self.names[int(row)], self.files[file], offset, size, label)
            for row, (file, offset, size, label) in zip(rows.tolist(), columns, strict=True)
        ]


@dataclass(frozen=True)
class Source:
    """A source of images: its kind ("imagefolder"), class names in the order of the labels, and its parts.

    `classes` is None where only the records tell the labels; they are then named by what the records say. `parts`
    maps "train", and "test" where the source has one, to their listings.
    """

    kind: str
    classes: tuple[str, ...] | None
    parts: dict[str, Listing]
