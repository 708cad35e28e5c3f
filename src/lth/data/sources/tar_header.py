"""The plain headers of tar archives, by far the most: ImageNet has 1.3 million, and tarfile takes a minute for them."""

from __future__ import annotations

BLOCK = 512
NAME, SIZE, SUM, KIND, MAGIC, PREFIX = slice(0, 100), slice(124, 136), slice(148, 156), 156, slice(257, 262), 345


def plain_header(block: bytes) -> tuple[bytes, int] | None:
    """Returns name and size of the file that a header (POSIX.1-1988, ustar) begins, where nothing is odd about it.

    None for everything else: folders, links, long names, extended attributes, damaged headers and the end; what they
    are is for tarfile to say.
    """
    if len(block) != BLOCK or block[KIND] != 0x30 or block[MAGIC] != b"ustar" or block[PREFIX]:
        return None
    name, size, total = block[NAME].partition(b"\0")[0], _number(block[SIZE]), _number(block[SUM])
    if not name or name.endswith(b"/") or size is None or total is None:
        return None
    # The sum is made with blanks where it stands.
    return (name, size) if sum(block) - sum(block[SUM]) + 8 * 0x20 == total else None


def _number(field: bytes) -> int | None:
    digits = field.strip(b" \0")
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:  # an 8 or a 9
        return None
