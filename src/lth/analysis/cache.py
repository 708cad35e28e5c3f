"""Numbers computed once: a JSON file of values by what they were computed from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lth.errors import RunError
from lth.runs.files import make_folder, read_json, write_json

FORMAT_VERSION = 1
CURE = "Delete it; its numbers are computed again."


class Cache:
    """The values in the file at `path`, which each new one is written to at once, so that a killed analysis goes on.

    A key holds the hashes of the weights that its value was computed from. Raises RunError for a damaged file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._values: dict[str, Any] = {}
        if path.exists():
            content = read_json(path, CURE)
            if content.get("format_version") != FORMAT_VERSION or not isinstance(content.get("values"), dict):
                raise RunError("not an analysis that this lth reads", at=path, cure=CURE)
            self._values = content["values"]

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Returns the JSON value of `key`, made by `make` where it is not known yet."""
        if key not in self._values:
            self.put(key, make())
        return self._values[key]

    def get(self, key: str) -> Any:
        """Returns the JSON value of `key`, or None."""
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        """Returns nothing; `key` has this value, on disk too."""
        self._values[key] = value
        make_folder(self.path.parent)
        write_json(self.path, {"format_version": FORMAT_VERSION, "values": self._values})
