"""Submit scripts of one's own: filled in whole, refused with every problem, submitted once, on record, taken back."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from grid.worlds import result, small_spec

from lth.errors import RunError, SpecError
from lth.grid.launchers import SUBMITTERS, template
from lth.grid.unit import Dense
from lth.runs.run import Run, start_run
from lth.spec.load import build_spec

EXAMPLES = Path(__file__).parents[3] / "examples" / "submit"
SUBMITTED = "sh {script}"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `lth run` is started: relative paths of scripts are read from here."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(text: str, *, workers: int = 3, path: str = "run", **keys: object) -> Run:
    """Returns a new run whose launcher fills in the script `text`; two dense networks are ready in it."""
    Path("job.sh").write_text(text)
    table = {"file": "job.sh", "submit": SUBMITTED, **keys}
    spec = small_spec(execute={"launcher": "template", "workers": workers, "template": table})
    return start_run(Path(path), spec)


def scripts(run: Run) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((run.path / "template").iterdir())}


def test_every_placeholder_is_filled_in_and_the_shell_keeps_its_own(here: Path) -> None:
    text = '@RUN@|@NAME@|@INDEX@|@WORKERS@|@PYTHON@|@FOLDER@|@WORK@|$HOME ${X} {a,b} "$@" me@example.org @x@\n'
    run = run_of(text)
    template.submit(run, True)
    path = str(here / "run")
    start = f"{path}|small|2|2|{sys.executable}|{here}|{sys.executable} -m lth work {path}|"
    assert scripts(run)["job-2.sh"] == start + '$HOME ${X} {a,b} "$@" me@example.org @x@\n'


def test_a_path_with_a_space_is_one_word_of_the_worker_s_command(here: Path) -> None:
    run = run_of("@WORK@", path="my run")
    template.submit(run, True)
    assert scripts(run)["job-1.sh"] == f"{sys.executable} -m lth work '{here}/my run'"


def test_only_workers_with_something_to_do_are_submitted_and_with_wait_all() -> None:
    run = run_of("echo @WORK@")
    assert len(template.submit(run, True)) == 2  # one dense network a seed
    for seed in (0, 1):
        run.publish(Dense(seed).folder, result(run.spec, Dense(seed)))
    assert len(template.submit(run, True)) == 3
    assert len(template.submit(run_of("echo @WORK@", wait=True, path="other"), True)) == 3


def test_units_that_somebody_is_at_need_no_worker() -> None:
    run = run_of("echo @WORK@")
    with run.claims() as claims:
        claims.take(Dense(0).id)
        assert len(template.submit(run, True)) == 1
        claims.take(Dense(1).id)
        said = template.submit(run, False)
        assert said == ["nothing is ready that nobody is at; the same command later", "watch: lth status run"]
    assert not template.submissions(run)


@pytest.mark.parametrize(("text", "names"), [
    ("@WORK@ # @WORKERS@", ["job.sh"]), ("@WORK@ # @WORKERS@ @INDEX@", ["job-1.sh", "job-2.sh"]),
    ("@WORK@", ["job-1.sh", "job-2.sh"]),
])  # fmt: skip
def test_a_script_that_counts_workers_itself_is_submitted_once(text: str, names: list[str]) -> None:
    run = run_of(text)
    template.submit(run, True)
    assert list(scripts(run)) == names


def test_a_dry_run_submits_nothing(here: Path) -> None:
    run = run_of("@WORK@", submit="touch submitted; cat {script}")
    lines = template.submit(run, True)
    assert lines[0] == f"would run: touch submitted; cat {here}/run/template/job-1.sh"
    assert not (here / "submitted").exists()
    assert not template.submissions(run)


@pytest.mark.parametrize(("said", "job"), [
    ("1234.pbs01", "1234.pbs01"), ("1234[].pbs01", "1234[].pbs01"), ("Submitted batch job 9", "9"),
    ("Job <77> is submitted to default queue <normal>.", "77"), ("job.batch/lth-x7kq2 created", "job.batch/lth-x7kq2"),
    ("", None),
])  # fmt: skip
def test_what_the_scheduler_said_is_on_record_with_the_job_s_id(said: str, job: str | None) -> None:
    run = run_of("@WORK@", workers=1, submit=f"echo '{said}' # {{script}}")
    line, _ = template.submit(run, False)
    assert line.endswith(f": {said or 'done'}")
    (row,) = template.submissions(run)
    assert (row["id"], row["said"], row["script"]) == (job, said, "job-1.sh")


def test_a_submission_that_fails_keeps_those_before_it(here: Path) -> None:
    run = run_of(
        "@WORK@", submit='test ! -e used && touch used && echo 7 || { echo "no queue" >&2; exit 3; } # {script}'
    )
    with pytest.raises(RunError, match=r"job-2\.sh: submitting failed with exit code 3: no queue\. The command was: "):
        template.submit(run, False)
    assert [row["id"] for row in template.submissions(run)] == ["7"]


def test_all_problems_of_a_script_are_told_at_once() -> None:
    run = run_of("one\n@WROK@ @INDEKS@\n@QUEUE@\n")
    with pytest.raises(SpecError) as caught:
        template.submit(run, False)
    assert caught.value.problems == [
        "line 2: unknown placeholder @WROK@. Did you mean @WORK@?",
        "line 2: unknown placeholder @INDEKS@. Did you mean @INDEX@?",
        "line 3: unknown placeholder @QUEUE@. Known are @WORK@, @RUN@, @PYTHON@, @FOLDER@, @NAME@, @WORKERS@, @INDEX@",
        "starts no worker. Add a line with @WORK@, the command that is one",
    ]
    assert not (run.path / "template").exists()


def test_a_script_that_is_not_there_or_no_text(here: Path) -> None:
    run = run_of("")
    Path("job.sh").unlink()
    with pytest.raises(SpecError, match=rf"job\.sh: 1 problem.*\n.*no such file\. Name it as it is seen from {here}"):
        template.submit(run, False)
    Path("job.sh").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecError, match="cannot be read as text"):
        template.submit(run, False)


def test_a_path_that_would_break_out_of_its_quotes_is_refused() -> None:
    run = run_of('cd "@RUN@" && @WORK@', path='a"b')
    with pytest.raises(SpecError, match=r'@RUN@ would be .*a"b.*Choose a path without quotes'):
        template.submit(run, False)


def test_what_was_submitted_is_taken_back_once(here: Path) -> None:
    run = run_of("@WORK@", submit="echo job 4$$ {script}", cancel="echo {id} {name} >>gone")
    template.submit(run, False)
    ids = [row["id"] for row in template.submissions(run)]
    assert len(template.cancel(run)) == 2
    assert (here / "gone").read_text() == "".join(f"{one} small\n" for one in ids)
    assert template.cancel(run) == []


def test_a_job_that_has_ended_does_not_stop_the_others() -> None:
    run = run_of("@WORK@", submit="echo 5 {script}", cancel='echo "unknown job" >&2; exit 1 # {id}')
    template.submit(run, False)
    assert [line.endswith(": unknown job") for line in template.cancel(run)] == [True, True]


def test_without_a_way_to_cancel_the_ids_are_told() -> None:
    run = run_of("@WORK@", submit="echo 17.server # {script}")
    template.submit(run, False)
    with pytest.raises(RunError, match=r"execute\.template\.cancel.*cancel by hand: 17\.server, 17\.server"):
        template.cancel(run)


def test_the_launcher_is_in_the_tables() -> None:
    assert SUBMITTERS["template"] is template.submit


@pytest.mark.parametrize(("execute", "line"), [
    ({"workers": 2}, 'execute.template: missing. Add [execute.template] with file = "submit.sh"'),
    ({"template": {"file": "x", "submit": "sh {script}"}}, "execute.workers: counts the cores of this machine"),
    ({"workers": 2, "template": {"file": "x", "submit": "sh {skript} ${HOME}"}}, "has an unknown {skript}"),
    ({"workers": 2, "template": {"file": "x", "submit": "sh x"}}, "does not say where the script goes"),
    ({"workers": 2, "template": {"file": "x", "submit": "sh {script}", "cancel": "qdel {jobid}"}}, "{jobid}"),
    ({"workers": 2, "template": {"file": "x", "submit": "sh {script}", "sumbit": ""}}, "execute.template.submit?"),
])  # fmt: skip
def test_the_spec_is_told_what_the_launcher_needs(execute: dict[str, object], line: str) -> None:
    document = small_spec().model_dump(mode="json", exclude_none=True)
    with pytest.raises(SpecError) as caught:
        build_spec({**document, "execute": {"launcher": "template", **execute}}, "spec.toml")
    assert any(line in problem for problem in caught.value.problems), caught.value.problems


def test_the_table_may_rest_while_another_launcher_is_chosen() -> None:
    document = small_spec().model_dump(mode="json", exclude_none=True)
    table = {"file": "nowhere.sh", "submit": "qsub {script}"}
    spec = build_spec({**document, "execute": {"launcher": "local", "template": table}}, "spec.toml")
    assert spec.execute.template is not None


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_an_example_says_how_it_is_submitted_and_is_filled_in_whole(path: Path) -> None:
    text = path.read_text()
    commands = dict(re.findall(r"^#   (submit|cancel) = (\".*\")$", text, re.M))
    document = small_spec().model_dump(mode="json", exclude_none=True)
    document["execute"] = {"launcher": "template", "workers": 2}
    sets = [f"execute.template.{key}={value}" for key, value in commands.items()]
    spec = build_spec(document, "spec.toml", [f"execute.template.file={path}", *sets])
    assert spec.execute.template is not None
    assert spec.execute.template.cancel
    run = start_run(Path("run"), spec)
    template.submit(run, True)
    for name, filled in scripts(run).items():
        assert name.startswith(path.stem)
        assert not re.search(r"@[A-Z]+@", filled)
        assert str(run.path.resolve()) in filled
        if path.suffix == ".sh":
            checked = subprocess.run(["bash", "-n", run.path / "template" / name], capture_output=True, text=True)
            assert (checked.returncode, checked.stderr) == (0, "")
        if path.suffix == ".sub":
            body = [line for line in filled.splitlines() if line and not line.startswith("#")]
            assert all(re.fullmatch(r"\w+ +=.+|queue 2", line) for line in body)
