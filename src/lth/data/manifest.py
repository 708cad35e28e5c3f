"""The record of one directory of shards: what it holds, how it was made, and every checksum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lth.errors import DataError
from lth.spec.identity import canonical, digest

FORMAT_VERSION = 1
NAME = "manifest.json"
PARTS = ("train", "test")
HEADER_BYTES = 4096  # of a raw shard: the npy header, padded, so that rows begin at a page

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")]
Whole = Annotated[int, Field(strict=True, ge=0, lt=1 << 53)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class File(Record):
    """One file beside the manifest."""

    name: FileName
    bytes: Whole
    sha256: Sha256


class Shard(File):
    """One file of rows. Of the codec `raw` an npy file uint8 (rows,h,w,3); of `jpeg` the JPEG streams end to end."""

    rows: Whole


class Failure(Record):
    """An image that is not among the rows: its name in the source, and why."""

    source: str
    reason: str


class Preprocessing(Record):
    """All that the bytes of the rows depend on, beside the source."""

    size: Annotated[int, Field(strict=True, ge=1, le=4096)]
    policy: Literal["squash", "center", "keep256"]
    codec: Literal["raw", "jpeg"]
    quality: Annotated[int, Field(strict=True, ge=1, le=100)] | None
    filter: str
    decoder: str
    versions: dict[str, str]
    rules: dict[str, str]


class Manifest(Record):
    """One part of a data set as shards, in the order of the rows; row r of the whole is row r of `labels.npy`.

    `labels` is an npy file int64 (n,). `source_index` is UTF-8 text, one line a row: name in the source, tab,
    width, tab, height of the original in pixels. `offsets`, of the codec jpeg alone, is an npy file int64 (n,2):
    begin and end within the row's shard. `mean` and `deviation` are those of the channels over all pixels, in grey
    levels 0..255. `dataset_id` is the sha256 of the canonical JSON of all the rest.
    """

    format_version: Literal[1]
    part: Literal["train", "test"]
    source: str
    n: Whole
    channels: Literal[3]
    classes: list[str]
    rows_per_shard: Whole
    shards: list[Shard]
    labels: File
    source_index: File
    offsets: File | None
    preprocessing: Preprocessing
    mean: list[float]
    deviation: list[float]
    failures: list[Failure]
    dataset_id: Sha256

    def files(self) -> list[File]:
        """Returns every file beside the manifest."""
        return [*self.shards, self.labels, self.source_index, *([self.offsets] if self.offsets else [])]


def identify(content: dict[str, Any]) -> Manifest:
    """Returns the manifest of `content`, every field but `dataset_id`, which is made here."""
    return Manifest.model_validate({**content, "dataset_id": digest(content)}, strict=False)


def text(manifest: Manifest) -> str:
    """Returns the canonical JSON of a manifest, as it is written."""
    return canonical(manifest.model_dump(mode="json")) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Returns the manifest in `folder`. Raises DataError where it is missing, damaged, newer, or not its own hash."""
    path = folder / NAME
    cure = "Prepare the data again, or copy them again from where they are whole."
    try:
        raw = path.read_bytes()
    except FileNotFoundError as problem:
        raise DataError("no shards here: the manifest is missing", at=path, cure=cure) from problem
    except OSError as problem:
        raise DataError(f"cannot be read: {problem.strerror}", at=path) from problem
    try:
        content = json.loads(raw)
        version = content.get("format_version")
    except (ValueError, RecursionError, AttributeError) as problem:
        raise DataError(f"not a JSON object: {problem}", at=path, cure=cure) from problem
    if isinstance(version, int) and version > FORMAT_VERSION:
        what, newer = f"format {version} is newer than this lth reads ({FORMAT_VERSION})", "Install a newer lth."
        raise DataError(what, at=path, cure=newer)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{where}: {first['msg']}", at=path, cure=cure) from problem
    _check(manifest, content, path, cure)
    return manifest


def _check(manifest: Manifest, content: dict[str, Any], path: Path, cure: str) -> None:
    del content["dataset_id"]
    if digest(content) != manifest.dataset_id:
        raise DataError("dataset_id is not that of the content: the file was changed", at=path, cure=cure)
    if sum(shard.rows for shard in manifest.shards) != manifest.n:
        raise DataError(f"the shards' rows do not add up to n = {manifest.n}", at=path, cure=cure)
    names = [file.name for file in manifest.files()]
    if len(set(names)) != len(names):
        raise DataError("a file is named twice", at=path, cure=cure)
    if (manifest.offsets is not None) != (manifest.preprocessing.codec == "jpeg"):
        raise DataError("offsets belong to the codec jpeg, and to it alone", at=path, cure=cure)
