"""Prepared data copied to a node's own disk, once a node, however many processes ask for it."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from lth.data.checksum import Told, file_sha256, quiet
from lth.data.copying import copy_checked
from lth.data.manifest import NAME, File, Manifest, read_manifest
from lth.data.verify import part_folders, wrong
from lth.errors import DataError
from lth.runs.claim import Claims
from lth.runs.files import atomic_write, make_folder

CLAIMS = ".lth-claims"
THREADS = 4
POLL_SECONDS = 0.5
SPARE_BYTES = 16 << 20  # for folders, and blocks that are not full


@dataclass(frozen=True)
class Copy:
    """What is to be copied: parts by name, and where to. `folder` appears only when all of it is whole."""

    out: Path
    manifests: dict[str, Manifest]
    folder: Path

    @property
    def work(self) -> Path:
        """The folder that is filled, and then renamed to `folder`."""
        return self.folder.with_name(f".{self.folder.name}.partial")

    def files(self) -> list[tuple[str, File]]:
        """Returns every file beside the manifests, with its part."""
        return [(part, file) for part, manifest in self.manifests.items() for file in manifest.files()]


def planned(out: Path, local: Path) -> Copy:
    """Returns the copy of the prepared data `out` in the folder `local`, under a name that tells content from content.

    Raises DataError where `out` holds no prepared data, or a manifest that is not whole.
    """
    out = out.resolve()
    manifests = {part: read_manifest(folder) for part, folder in part_folders(out).items()}
    told = " ".join(f"{part} {manifest.dataset_id}" for part, manifest in manifests.items())
    return Copy(out, manifests, local.resolve() / f"{out.name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}")


def silent(_: str) -> None:
    """Returns nothing: the one to say something to where nobody listens."""


def stage(
    out: Path, local: Path, *, jobs: int = THREADS, told: Told = quiet, say: Callable[[str], None] = silent
) -> Path:
    """Returns the folder below `local` that holds a whole, checked copy of the prepared data `out`.

    One process of those that call this on a node copies, the others wait for it. A copy that is there is looked
    through quickly and kept; one that was interrupted goes on. `say` hears what is done. Raises DataError where
    `out` is damaged or `local` has no room, RunError where it cannot be written to.
    """
    copy = planned(out, local)
    if _stands(copy):
        return copy.folder
    make_folder(local)
    waiting = False
    with Claims(local.resolve() / CLAIMS) as claims:
        while not claims.take(copy.folder.name):
            if not waiting:
                say("another process copies; waiting for it")
            waiting = True
            time.sleep(POLL_SECONDS)
            if _stands(copy):
                return copy.folder
        if not _stands(copy):  # somebody may have ended between the look and the claim
            _copy(copy, jobs, told, say)
    return copy.folder


def _stands(copy: Copy) -> bool:
    """Returns whether the copy is there: the same manifests, and every file with its size."""
    for part, manifest in copy.manifests.items():
        try:
            if read_manifest(copy.folder / part) != manifest:
                return False
        except DataError:
            return False
    return not any(wrong(copy.folder / part, file, quick=True) for part, file in copy.files())


def _copy(copy: Copy, jobs: int, told: Told, say: Callable[[str], None]) -> None:
    if copy.folder.exists():  # and is not whole: what still is of it is kept
        shutil.rmtree(copy.work, ignore_errors=True)
        os.rename(copy.folder, copy.work)
    for part in copy.manifests:
        _tidy(make_folder(copy.work / part), {file.name for one, file in copy.files() if one == part})
    missing = [(part, file) for part, file in copy.files() if wrong(copy.work / part, file, quick=True)]
    _room(copy, sum(file.bytes for _, file in missing))
    say(f"copying {sum(file.bytes for _, file in copy.files()) / 1e6:.1f} MB to {copy.folder}")
    _each(copy, jobs, told)
    for part in copy.manifests:
        atomic_write(copy.work / part / NAME, (copy.out / part / NAME).read_bytes())
    os.rename(copy.work, copy.folder)


def _each(copy: Copy, jobs: int, told: Told) -> None:
    """Copies every file that is not there already by its checksum; the first problem stops the rest."""
    stop = threading.Event()

    def one(part: str, file: File) -> None:
        target = copy.work / part / file.name
        if stop.is_set():
            return
        if wrong(target.parent, file, quick=True) is None and file_sha256(target) == file.sha256:
            told(file.bytes)
            return
        copy_checked(copy.out / part / file.name, target, file, told, stop)

    with ThreadPoolExecutor(jobs) as pool:
        tasks = [pool.submit(one, part, file) for part, file in copy.files()]
        try:
            for task in tasks:
                task.result()
        finally:
            stop.set()


def _tidy(folder: Path, known: set[str]) -> None:
    """Removes what an interrupted copy left behind beside whole files."""
    for path in folder.iterdir():
        if path.name not in known:
            path.unlink() if not path.is_dir() or path.is_symlink() else shutil.rmtree(path)


def _room(copy: Copy, needed: int) -> None:
    free = shutil.disk_usage(copy.work).free
    if needed + SPARE_BYTES > free:
        what = f"{needed} bytes are still to be copied, {free} are free"
        raise DataError(what, at=copy.folder.parent, cure="Free some space, or read the data from where they are.")
