"""Files of results that are gone: what a purge took, what is needed for what, and what makes it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lth.runs.archive import purged
from lth.runs.artefacts import HEAVY, lost
from lth.runs.run import Run

FOLDERS = 3


def as_json_of(run: Run) -> dict[str, Any]:
    """Returns how many files are gone, by kind, the folders of their results, and what was purged on purpose; {} where
    nothing is gone."""
    gone = lost(run)
    if not gone:
        return {}
    folders = sorted({folder for files in gone.values() for folder, _ in files})
    return {"gone": {kind: len(files) for kind, files in gone.items()}, "gone_from": folders, "purges": purged(run)}


def show_gone(run: Run) -> None:
    """Returns nothing; prints which files of results are gone, by kind, and how they are made again; or nothing."""
    gone, purges = lost(run), purged(run)
    if not gone:
        return
    print("\nFiles of results that are gone:")
    for kind in (*HEAVY, "metrics"):
        if files := gone.get(kind):
            networks = _count(len({folder for folder, _ in files}), "network")
            use = HEAVY.get(kind, "the training curve")
            print(f"  {kind:<12} {_count(len(files), 'file')} of {networks}: {use}")
    for one in purges:
        print(f"Purged at {one['at']} ({', '.join(one['taken'])}); the archive is {_seen_from_here(one['archive'])}.")
    if not purges:
        print("Nobody purged them with lth archive: does this file system delete files by age?")
    print("The results stand without them; status, select and report need none. To have some made again, delete the")
    print(
        "folders of their results, and run; dense networks first, for tickets and their masks start from them. The same"
    )
    print("kind of machine makes the same bits.")
    folders = list(dict.fromkeys(folder for kind in (*HEAVY, "metrics") for folder, _ in gone.get(kind, [])))
    more = f"   # and {len(folders) - FOLDERS} more: --json" if len(folders) > FOLDERS else ""
    print(f"  rm -r {' '.join(str(run.path / folder) for folder in folders[:FOLDERS])}{more}")
    print(f"  lth run {run.layout.spec} --into {run.path}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _seen_from_here(path: str) -> str:
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
