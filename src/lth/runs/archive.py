"""A run in one file: all that was found out and the winning ticket, without the weights that can be made again."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

from lth.errors import RunError
from lth.runs.artefacts import HEAVY, Published, kind_of, published
from lth.runs.copying import CHUNK
from lth.runs.files import atomic_write, disk_errors, make_folder, read_json
from lth.runs.run import Run, now

FORMS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz"}
INVENTORY = "archive.json"
PURGE = "purge.json"


def write_archive(run: Run, target: Path, keep: Collection[str] = ()) -> dict[str, Any]:
    """Returns the inventory of the archive written at `target`: its files with their checksums, what was left out.

    Unpacked it is a run directory that `lth status`, `select`, `report` and `merge` read. Of HEAVY only the kinds in
    `keep` go in. It is read back before it gets its name. Raises RunError on a name that is no tar's, a full disk,
    a file that reads otherwise the second time, an archive at `target` that has more than this one would.
    """
    mode = next((mode for end, mode in FORMS.items() if target.name.endswith(end)), None)
    if mode is None:
        raise RunError("no name of a tar file", at=target, cure=f"Let it end in {' or '.join(FORMS)}.")
    if target.resolve().is_relative_to(run.path.resolve()):
        raise RunError("the archive would lie in the run it is made of", at=target, cure="Name another --into.")
    make_folder(target.parent)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(6)}.tmp")
    with disk_errors(target):
        try:
            inventory = _write(run, temporary, mode, keep)
            _check(temporary, inventory)
            _spare(target, inventory)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return inventory


def purge(run: Run, archive: Path, keep: Collection[str] = ()) -> dict[str, Any]:
    """Returns what was taken away from the run directory: by kind of HEAVY, files and bytes; `purge.json` has it too.

    Only what is no part of the results goes: the heavy kinds that are not in `keep`, saved states, attempts that
    were given up. Killed at any moment it can be repeated.
    """
    taken: dict[str, list[int]] = {}
    victims = [*_heavy(run, keep), *_leftovers(run)]
    for kind, path in victims:
        count = taken.setdefault(kind, [0, 0])
        count[0], count[1] = count[0] + 1, count[1] + path.stat().st_size
    before = purged(run)
    sums = {kind: {"files": files, "bytes": size} for kind, (files, size) in taken.items()}
    record = {"at": now(), "archive": str(archive.resolve()), "taken": sums}
    atomic_write(run.path / PURGE, json.dumps({"purges": [*before, record]}, indent=1) + "\n")
    for _, path in victims:
        path.unlink(missing_ok=True)
    for folder in _other_attempts(run):
        shutil.rmtree(folder, ignore_errors=True)
    return record


def purged(run: Run) -> list[dict[str, Any]]:
    """Returns what was purged so far: `at` when, the `archive`, and by kind the files and bytes `taken`."""
    path = run.path / PURGE
    return read_json(path, "Delete it; it is only a note.").get("purges", []) if path.exists() else []


def _write(run: Run, path: Path, mode: str, keep: Collection[str]) -> dict[str, Any]:
    files: dict[str, str] = {}
    with tarfile.open(path, cast(Any, mode), format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(_kept(run, keep)):
            files[name] = _add(tar, run.path / name, f"{run.path.resolve().name}/{name}")
        out = sorted(HEAVY.keys() - set(keep))
        inventory = {"archived_at": now(), "run": str(run.path.resolve()), "left_out": out, "files": files}
        text = (json.dumps(inventory, indent=1) + "\n").encode()
        member = tarfile.TarInfo(f"{run.path.resolve().name}/{INVENTORY}")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    return inventory


def _add(tar: tarfile.TarFile, path: Path, name: str) -> str:
    """The checksum of the file as it went in; whoever replaces it meanwhile makes a new file, and this one stays."""
    with open(path, "rb") as file:
        reader = _Hashing(file)
        member = tar.gettarinfo(arcname=name, fileobj=file)
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        tar.addfile(member, cast(Any, reader))
    return reader.digest.hexdigest()


class _Hashing:
    """A file that is hashed while it is read."""

    def __init__(self, file: io.BufferedReader):
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


def _spare(target: Path, inventory: dict[str, Any]) -> None:
    """Refuses to replace an archive of which something would be lost, such as weights that are purged by now."""
    if not target.exists():
        return
    cure = "Name another --into, or move the old one away."
    try:
        with tarfile.open(target) as tar:
            names = {member.name.partition("/")[2] for member in tar if member.isfile()} - {INVENTORY}
    except (tarfile.TarError, OSError) as problem:
        raise RunError(f"there is something else, no archive: {problem}", at=target, cure=cure) from None
    if lost := sorted(names - inventory["files"].keys()):
        what = f"the archive that is there has {len(lost)} files that this one would not have, {lost[0]} first"
        raise RunError(what, at=target, cure=cure)


def _check(path: Path, inventory: dict[str, Any]) -> None:
    """Reads the archive back."""
    wanted: dict[str, str] = dict(inventory["files"])
    with tarfile.open(path) as tar:
        for member in tar:
            name = member.name.partition("/")[2]
            if name == INVENTORY:
                continue
            digest, file = hashlib.sha256(), tar.extractfile(member)
            while file is not None and (chunk := file.read(CHUNK)):
                digest.update(chunk)
            if wanted.pop(name, None) != digest.hexdigest():
                raise RunError(f"{name} is not what was written", at=path, cure="Check the disk; write it elsewhere.")
    if wanted:
        raise RunError(f"{next(iter(wanted))} is not in it", at=path, cure="Check the disk; write it elsewhere.")


def _kept(run: Run, keep: Collection[str]) -> Iterator[str]:
    """The files that go in, relative to the run directory."""
    skipped = {"claims", "dense", "cells"} | ({"masks"} - set(keep))
    for name in os.listdir(run.path):
        if name not in skipped:
            yield from _files(run, run.path / name)
    for group in ("dense", "cells"):
        for folder in sorted((run.path / group).glob("*")):
            yield from (str(path.relative_to(run.path)) for path in sorted(folder.glob("*.json")))
    for one in published(run):
        gone = one.missing(run.path)
        for name in one.files:
            if name not in gone and _wanted(one, name, keep):
                yield str((one.attempt(run.path) / name).relative_to(run.path))


def _files(run: Run, path: Path) -> Iterator[str]:
    paths = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    yield from (str(one.relative_to(run.path)) for one in paths if not one.name.endswith(".tmp"))


def _wanted(one: Published, name: str, keep: Collection[str]) -> bool:
    kind = kind_of(one.folder, name)
    return kind not in HEAVY or kind in keep


def _heavy(run: Run, keep: Collection[str]) -> Iterator[tuple[str, Path]]:
    for one in published(run):
        for name in sorted(one.files.keys() - set(one.missing(run.path))):
            if not _wanted(one, name, keep):
                yield kind_of(one.folder, name), one.attempt(run.path) / name
    if "masks" not in keep:
        yield from (("masks", path) for path in sorted((run.path / "masks").glob("*/*")) if path.is_file())


def _leftovers(run: Run) -> Iterator[tuple[str, Path]]:
    """Saved states of trainings, and the files of attempts that no result names."""
    for group in ("dense", "cells"):
        for path in sorted((run.path / group).glob("*/resume*")):
            yield "saved states", path
    for folder in _other_attempts(run):
        yield from (("other attempts", path) for path in sorted(folder.rglob("*")) if path.is_file())


def _other_attempts(run: Run) -> Iterator[Path]:
    for one in published(run):
        own = one.attempt(run.path)
        yield from (path for path in sorted(own.parent.glob("attempt-*")) if path != own)
