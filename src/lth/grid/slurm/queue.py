"""The jobs of a run as squeue shows them, asked at most once a minute."""

from __future__ import annotations

import getpass
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lth.errors import RunError
from lth.grid.slurm.command import PATIENCE, ask
from lth.grid.slurm.script import mark, mark_of
from lth.runs.files import read_json, write_json
from lth.runs.layout import Layout
from lth.runs.run import Run

KEEP_SECONDS = 60.0
JOBS = "jobs.jsonl"  # what was submitted, when, and where the run was then
FORMAT = "%i|%T|%r|%j|%N"


@dataclass(frozen=True)
class Job:
    """One task: its id ("12_3", or "12"), SLURM's word for its state, why it waits, its name and nodes."""

    id: str
    state: str
    reason: str
    name: str
    nodes: str


def jobs(run: Run, keep_seconds: float = KEEP_SECONDS, patience: float = PATIENCE) -> list[Job]:
    """Returns the queued and running tasks of this run, as they were at most `keep_seconds` ago.

    Those that were submitted where the run was before it was moved are among them. Raises SlurmError where
    squeue cannot be asked.
    """
    cache = run.layout.slurm / "queue.json"
    try:
        known = read_json(cache, "") if cache.exists() else {}
        if 0 <= time.time() - float(known.get("asked_at", 0)) < keep_seconds:
            return [Job(**one) for one in known["jobs"]]
    except (RunError, TypeError, ValueError, KeyError):
        pass  # a cache that cannot be read is written anew
    told = ask("squeue", "-h", "-r", "-u", getpass.getuser(), "-o", FORMAT, patience=patience)
    found = parsed(told, mark(run), *map(mark_of, left_places(run)))
    if cache.parent.is_dir():
        write_json(cache, {"asked_at": time.time(), "jobs": [asdict(one) for one in found]})
    return found


def left_places(run: Run) -> list[Path]:
    """Returns where this run was when jobs were submitted, and is no more."""
    record = run.layout.slurm / JOBS
    lines = record.read_text().splitlines() if record.exists() else []
    places = {Path(place) for line in lines if (place := json.loads(line).get("run"))}
    return sorted(place for place in places - {run.path.resolve()} if not Layout(place).run.exists())


def parsed(text: str, *beginnings: str) -> list[Job]:
    """Returns the jobs among squeue's lines whose names have one of these beginnings."""
    rows = (line.strip().split("|") for line in text.splitlines() if line.strip())
    found = [Job(*row[:5]) for row in rows if len(row) >= 5]
    return [one for one in found if one.name.startswith(beginnings)]


def summary(found: Sequence[Job]) -> str:
    """Returns a line such as "2 running on n1,n2; 17 pending (Resources)"; "none" of no jobs."""
    parts: list[str] = []
    for state, count in Counter(one.state for one in found).items():
        ours = [one for one in found if one.state == state]
        nodes = sorted({one.nodes for one in ours if one.nodes})
        reasons = sorted({one.reason for one in ours if one.reason not in ("", "None")})
        where = f" on {','.join(nodes)}" if nodes else ""
        why = f" ({', '.join(reasons)})" if reasons else ""
        parts.append(f"{count} {state.lower()}{where}{why}")
    return "; ".join(parts) or "none"
