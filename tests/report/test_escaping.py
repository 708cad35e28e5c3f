"""Names, paths and messages of a user can open or close nothing in the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from fake_run import failure, planted, spec_of, with_spec
from html_reader import Reader

from lth.report import write_report
from lth.report.page import script_json
from lth.runs.records import Results

EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>&\u2028'


@pytest.mark.usefixtures("no_pdf")
def test_everything_a_user_wrote_is_escaped(tmp_path: Path) -> None:
    spec = spec_of(
        seeds=2,
        data={"source": f"mnist:{EVIL}", "batch_size": 64},
        model={"name": "my.models:Net", "arguments": {"kind": EVIL}},
        prune={"scope": "global", "exclude": [EVIL], "rates": {EVIL: 0.5}},
        grid={"sparsities": [0.8, 0.9], "rewind": ["0"]},
    )
    run = with_spec(planted(tmp_path / 'evil "run" <b>', spec), EVIL)
    done = {
        name: one.model_copy(
            update={
                "host": EVIL,
                "dataset_id": EVIL,
                "numerics": {EVIL: EVIL, "seed": one.seed},
                "layer_densities": {EVIL: one.density_prunable},
                "collapsed": (EVIL,) if one.sparsity == 0.9 else (),
                "resumed_in_other_numerics": True,
            }
        )
        for name, one in run.found.done.items()
    }
    failed = {"s0.9-r0-seed7": failure(EVIL, EVIL, EVIL)}
    head = {"versions": {EVIL: EVIL}, "created_at": EVIL, "host": EVIL}
    path = write_report(replace(run, found=Results(done, failed=failed), head=head))
    reader = Reader(path.read_text("utf-8"))
    assert len(reader.scripts) == 3
    assert not {"img", "b"} & set(reader.tags)
    assert not reader.handlers
    assert EVIL in "".join(reader.words)
    assert EVIL in reader.scripts[0].encode().decode("unicode_escape")
    layers = json.loads(reader.scripts[0])["layer-densities"]["datasets"].values()
    assert {row["layer"] for rows in layers for row in rows if "layer" in row} == {EVIL}


def test_json_in_a_script_can_open_or_close_nothing() -> None:
    text = script_json({"a": EVIL, EVIL: ["<!--", "]]>"]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"a": EVIL, EVIL: ["<!--", "]]>"]}
