"""The run directory: opened, extended, read, and published to."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lth.errors import RunError
from lth.runs.claim import Claims
from lth.runs.files import atomic_write, make_folder, publish_first, read_json, write_json
from lth.runs.known import DAMAGED, Known, Told, check_format
from lth.runs.layout import UNIT_FOLDERS, Layout
from lth.runs.records import FORMAT_VERSION, CellResult, Failure, Results
from lth.spec.identity import differing_keys, digest, experiment
from lth.spec.load import build_spec
from lth.spec.schema import Spec
from lth.version import __version__


def now() -> str:
    """Returns the present moment in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Run:
    """A run directory and the spec it belongs to. The directory is the truth; this is a view of it."""

    def __init__(self, path: Path, spec: Spec):
        self.path, self.spec, self.layout = path, spec, Layout(path)
        self._seen = Known(self.layout, spec.execute.attempts)
        self.told = Told(self.layout, spec.execute.attempts)

    def results(self) -> Results:
        """Returns all that the directory holds now. Raises RunError on a damaged record.

        Records already read are kept, so a call costs three listings and a look into each unsettled folder.
        """
        self._seen.look_everywhere()
        return self._seen.results()

    def correct_journal(self) -> None:
        """Returns nothing; the journal tells what the folders hold. Raises RunError on a damaged record."""
        self.told.listen()  # first, so that what is settled meanwhile is in the folders that are looked at
        self._seen.look_everywhere()
        self.told.correct(self._seen)

    def check_there(self) -> None:
        """Returns nothing; raises RunError where the directory was moved or deleted since it was opened."""
        if not self.layout.run.exists():
            cure = "If it was moved, give its new place to the same command."
            raise RunError("the run directory is no longer here", at=self.path, cure=cure)

    def publish(self, folder: str, record: CellResult | dict[str, Any]) -> bool:
        """Returns whether this result is the one that counts; the first to be published wins."""
        text = record.model_dump_json(indent=1) if isinstance(record, CellResult) else json.dumps(record, indent=1)
        make_folder(self.path / folder)
        first = publish_first(self.layout.result(folder), text + "\n")
        if first:
            self.told.journal.append(folder, "result", text)
        return first

    def fail(self, folder: str, failure: Failure) -> None:
        """Returns nothing; writes the failure as the next `failed-<n>.json` of its unit."""
        make_folder(self.path / folder)
        number, text = 1, failure.model_dump_json(indent=1)
        while not publish_first(self.path / folder / f"failed-{number}.json", text + "\n"):
            number += 1
        if self.told.settles(failure, number):
            self.told.journal.append(folder, "failure", text)

    def artefact(self, result: CellResult, name: str) -> Path:
        """Returns the path of one of the result's files, such as "weights.safetensors"."""
        group = f"dense/seed{result.seed}" if result.kind == "dense" else f"cells/{result.id}"
        return self.layout.attempt(group, result.attempt) / name

    def metrics(self, result: CellResult) -> list[dict[str, Any]]:
        """Returns the training curve: one row a moment, or nothing where its file is gone."""
        try:
            lines = self.artefact(result, "metrics.jsonl").read_text().splitlines()
            return [json.loads(line) for line in lines if line.strip()]
        except FileNotFoundError:
            return []
        except ValueError as problem:
            raise RunError(
                f"damaged metrics: {problem}", at=self.artefact(result, "metrics.jsonl"), cure=DAMAGED
            ) from None

    def claims(self) -> Claims:
        """Returns the claims of this run, for a `with` block."""
        return Claims(self.layout.claims)

    def settle_facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Returns the facts of the run: those the first worker wrote, for everyone else to compare with.

        Raises RunError where the data are not those the run was started on.
        """
        if not self.layout.facts.exists():
            publish_first(self.layout.facts, json.dumps(facts, indent=1) + "\n")
        first = read_json(self.layout.facts, "Delete it; the next worker writes it again.")
        if first.get("dataset_id") != facts["dataset_id"]:
            cure = "Point data.source at the original data, or start a new run directory."
            raise RunError(
                "the data differ from those this run was started on", at=self.path, value=facts["dataset_id"], cure=cure
            )
        return first

    def facts(self) -> dict[str, Any]:
        """Returns the content of `facts.json`, or nothing where no worker has begun yet."""
        cure = "Delete it; the next worker writes it again."
        return read_json(self.layout.facts, cure) if self.layout.facts.exists() else {}

    def measured(self, kind: str, found: dict[str, Any]) -> None:
        """Returns nothing; `facts.json` holds what trainings of a kind ("dense", "tickets-16") took, last wins.

        Two workers that write at once can lose the measurement of one of them, never the facts about the data.
        """
        facts = self.facts()
        if facts:
            write_json(self.layout.facts, {**facts, "measured": {**facts.get("measured", {}), kind: found}})

    def describe(self) -> dict[str, Any]:
        """Returns the content of `run.json`."""
        return read_json(self.layout.run, "This is no run directory, or its head is lost; start a new one.")

    def test_shown(self) -> None:
        """Returns nothing; notes in `run.json`, the first time only, when test accuracies were shown."""
        head = self.describe()
        if not head.get("test_first_shown"):
            write_json(self.layout.run, {**head, "test_first_shown": now()})


def start_run(path: Path, spec: Spec, text: str | None = None) -> Run:
    """Returns the run directory at `path`, new or extended to `spec`; `text` is the spec as it was written, if it was.

    Raises RunError where the folder holds another experiment, or something that is no run. A folder in which
    nothing was ever finished is taken over: a first try with a mistake in its spec is corrected, not refused.
    """
    run = Run(path, spec)
    head = {
        "format_version": FORMAT_VERSION,
        "name": spec.name,
        "experiment": experiment(spec),
        "identity": digest(experiment(spec)),
        "spec": spec.model_dump(mode="json"),
        "versions": {"lth": __version__, "python": platform.python_version()},
        "host": socket.gethostname(),
        "created_at": now(),
        "test_first_shown": None,
    }
    if run.layout.run.exists():
        if _differences(run) and _nothing_done(run):
            _clear(run)
            write_json(run.layout.run, head)  # last: killed before, it is still the first try that is cleared away
        _refuse_another(run)
    elif path.exists() and (not path.is_dir() or any(not _leftover(name) for name in os.listdir(path))):
        raise RunError("not a run directory, and not empty", at=path, cure="Name a new folder with --into.")
    make_folder(path)
    if not run.layout.run.exists():
        publish_first(run.layout.run, json.dumps(head, indent=1) + "\n")
        _refuse_another(run)
    before = run.describe()
    if before["spec"] != head["spec"]:
        write_json(run.layout.run, {**before, "name": spec.name, "spec": head["spec"]})
    if text is not None:
        atomic_write(run.layout.spec, text)
    run.correct_journal()
    return run


def _leftover(name: str) -> bool:
    """Whether a file is what a start that was killed left of its first write."""
    return name.startswith(".run.json.") and name.endswith(".tmp")


def open_run(path: str | os.PathLike[str]) -> Run:
    """Returns the run directory at `path` as it was last started. Raises RunError where there is none."""
    probe = Layout(Path(path))
    if not probe.run.exists():
        raise RunError("not a run directory (it has no run.json)", at=path, cure="Start one: lth run SPEC --into DIR")
    head = read_json(probe.run, "Run `lth run SPEC --into DIR` again to write it anew.")
    check_format(head, probe.run)
    spec = build_spec(head["spec"] if isinstance(head.get("spec"), dict) else {}, probe.run)
    return Run(Path(path), spec)


def _differences(run: Run) -> list[str]:
    """The lines in which the experiment of the directory differs from the run's."""
    head = run.describe()
    check_format(head, run.layout.run)
    return differing_keys(head.get("experiment", {}), experiment(run.spec))


def _refuse_another(run: Run) -> None:
    if lines := _differences(run):
        cure = "Name another folder with --into, or give the spec its old values again."
        raise RunError("the folder holds another experiment:\n  " + "\n  ".join(lines) + "\n", at=run.path, cure=cure)


def _nothing_done(run: Run) -> bool:
    """Whether no network was ever finished here and nobody is at work: a first try whose spec was wrong."""
    results = run.results()
    return not results.done and not results.finished and not run.claims().running()


def _clear(run: Run) -> None:
    """Takes the leftovers of a first try away, so that the corrected spec can have its folder."""
    for name in (*UNIT_FOLDERS, "masks"):
        shutil.rmtree(run.path / name, ignore_errors=True)
    for path in (run.layout.facts, run.layout.journal):
        path.unlink(missing_ok=True)
