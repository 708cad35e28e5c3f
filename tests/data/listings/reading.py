"""What a listing reads as, for tests."""

from __future__ import annotations

import numpy as np

from lth.data.listing import Listing, Raw
from lth.data.reading import READERS


def read_all(listing: Listing) -> list[Raw]:
    return [READERS[listing.kind](entry) for entry in listing.entries(np.arange(len(listing)))]


def contents(listing: Listing) -> dict[str, tuple[object, int]]:
    """Returns content and label by name."""
    raws = read_all(listing)
    return {name: (raw.content, raw.label) for name, raw in zip(listing.names, raws, strict=True)}
