"""Whether prepared data are whole: every file by size or sha256, and what the files say of each other."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lth.data.checksum import Told, file_sha256, quiet
from lth.data.contents import check_contents
from lth.data.manifest import NAME, PARTS, File, Manifest, read_manifest
from lth.data.prepare_plan import PLAN
from lth.errors import DataError

MOST_THREADS = 8


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file, named from the data's folder on: "train/shard-00003.npy"."""

    file: str
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and everything wrong with it."""

    parts: tuple[str, ...]
    rows: int
    files: int
    bytes: int
    quick: bool
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns the verdict as JSON values."""
        return {"whole": not self.findings, **asdict(self)}


def part_folders(out: Path) -> dict[str, Path]:
    """Returns the folders of the parts of prepared data: {"train": OUT/train, "test": OUT/test}.

    Raises DataError where there is none.
    """
    found = {part: out / part for part in PARTS if os.path.isdir(out / part)}
    if not found:
        what, cure = "no prepared data here: neither train/ nor test/", "Name the folder that lth data prepare made."
        raise DataError(what, at=out, cure=cure)
    return found


def total_bytes(out: Path) -> int:
    """Returns the bytes of all files that the manifests name. Raises DataError for a manifest that is not whole."""
    return sum(file.bytes for folder in part_folders(out).values() for file in read_manifest(folder).files())


def verify(out: Path, *, quick: bool = False, jobs: int | None = None, told: Told = quiet) -> Verdict:
    """Returns what is wrong with the prepared data in `out`: by the sha256 of every file, or, `quick`, by their sizes.

    `told` hears of the bytes that are read for checksums, by `jobs` threads. Raises DataError where there are no
    prepared data at all.
    """
    folders = part_folders(out)
    findings = [Finding(name, "does not belong here") for name in _strays(out, {*PARTS, PLAN})]
    if "train" not in folders:
        findings.append(Finding("train", "missing"))
    manifests: dict[str, Manifest] = {}
    for part, folder in folders.items():
        try:
            manifests[part] = read_manifest(folder)
        except DataError as problem:
            findings.append(Finding(f"{part}/{NAME}", problem.what))
    findings += [*_compared(manifests), *_planned(out, manifests)]
    bad = _damaged(folders, manifests, quick, jobs or min(MOST_THREADS, os.cpu_count() or 1), told)
    for part, manifest in manifests.items():
        found = [*bad[part].items(), *check_contents(folders[part], manifest, set(bad[part]), quick)]
        findings += [Finding(f"{part}/{name}", reason) for name, reason in found]
    files = [file for manifest in manifests.values() for file in manifest.files()]
    rows, size = sum(one.n for one in manifests.values()), sum(file.bytes for file in files)
    return Verdict(tuple(manifests), rows, len(files), size, quick, tuple(sorted(findings, key=lambda one: one.file)))


def _damaged(
    folders: dict[str, Path], manifests: dict[str, Manifest], quick: bool, jobs: int, told: Told
) -> dict[str, dict[str, str]]:
    """Returns for each part its files that are not what the manifest tells, or are not in it, with the reason."""
    with ThreadPoolExecutor(jobs) as pool:
        tasks = {
            part: {file.name: pool.submit(wrong, folders[part], file, quick, told) for file in manifest.files()}
            for part, manifest in manifests.items()
        }
        bad = {
            part: {name: reason for name, task in files.items() if (reason := task.result()) is not None}
            for part, files in tasks.items()
        }
    for part in manifests:
        bad[part] |= dict.fromkeys(_strays(folders[part], {NAME, *tasks[part]}), "does not belong here")
    return bad


def wrong(folder: Path, file: File, quick: bool, told: Told = quiet) -> str | None:
    """Returns what is wrong with one file, by its size and, unless `quick`, its sha256; None where nothing is."""
    try:
        status = (folder / file.name).stat()
        if not stat.S_ISREG(status.st_mode):
            return "not a plain file"
        if status.st_size != file.bytes:
            return f"{status.st_size} bytes, {file.bytes} are expected"
        if not quick and file_sha256(folder / file.name, told) != file.sha256:
            return "the sha256 is not that of the manifest: the content was changed or damaged"
    except FileNotFoundError:
        return "missing"
    except OSError as problem:
        return f"cannot be read: {problem.strerror}"
    return None


def _strays(folder: Path, known: set[str]) -> Iterator[str]:
    try:
        yield from sorted(name for name in os.listdir(folder) if name not in known)
    except OSError as problem:
        raise DataError(f"cannot be read: {problem.strerror}", at=folder) from problem


def _compared(manifests: dict[str, Manifest]) -> Iterator[Finding]:
    """Yields where a part is not the one that its folder says, or test not made as train was."""
    for part, manifest in manifests.items():
        if manifest.part != part:
            yield Finding(f"{part}/{NAME}", f"is that of the part {manifest.part!r}")
    if len(manifests) < 2:
        return
    train, test = manifests["train"], manifests["test"]
    for name in ("classes", "preprocessing"):
        if getattr(train, name) != getattr(test, name):
            yield Finding(f"test/{NAME}", f"{name} differ from those of train")


def _planned(out: Path, manifests: dict[str, Manifest]) -> Iterator[Finding]:
    """Yields where the plan is damaged, by which a preparation knows its work again; a staged copy has none."""
    try:
        plan = json.loads((out / PLAN).read_bytes())
        same = all(plan["preprocessing"] == one.preprocessing.model_dump(mode="json") for one in manifests.values())
        if not same:
            yield Finding(PLAN, "tells of another preparation than the manifests")
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as problem:
        yield Finding(PLAN, f"damaged: {type(problem).__name__}")
