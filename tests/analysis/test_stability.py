"""A run's barriers, verdicts and likenesses, computed once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from analysis.made_network import Small

from lth.analysis import measurement
from lth.analysis.connectivity import PARTS, WAYS, barrier
from lth.analysis.networks import mask_of, trained_state
from lth.analysis.overlap import mask_overlap, sign_agreement
from lth.analysis.stability import cache_of, stability
from lth.data.loader import Resident
from lth.data.sources import open_source
from lth.errors import LthError, RunError
from lth.pruning.mask import Mask
from lth.runs.run import Run
from lth.spec.step import Step


def test_barriers_are_those_between_each_ticket_and_its_copy(one_shot: Run) -> None:
    found = stability(one_shot, points=4)
    done = one_shot.results().done
    wanted = [
        f"s{sparsity}-r{moment}-seed{seed}" for sparsity in ("0", "0.8") for moment in ("0", "1ep") for seed in (0, 1)
    ]
    assert [one.pair.first.id for one in found.measured] == wanted
    assert [one.pair.second.id for one in found.measured] == [f"{name}-copy" for name in wanted]
    data = one_shot.spec.data
    for one in found.measured[::3]:
        ticket, copy = done[one.pair.first.id], done[one.pair.second.id]
        assert ticket.weights_sha256 != copy.weights_sha256
        resident = Resident(open_source(data.source), data, ticket.seed, torch.device("cpu"), channels_last=True)
        states = trained_state(one_shot, ticket), trained_state(one_shot, copy)
        again = barrier(Small(), *states, resident, points=4)
        assert one.barrier == again
        for part in PARTS:
            line = again.lines["interpolated"][part]
            assert line.error[0] == pytest.approx(1 - getattr(ticket, f"{part}_top1"), abs=1e-9)
            assert line.error[-1] == pytest.approx(1 - getattr(copy, f"{part}_top1"), abs=1e-9)
        mask = mask_of(one_shot, ticket)
        assert mask.density == pytest.approx(1 - (ticket.sparsity or 0), abs=1e-3)
        assert one.signs == sign_agreement(*states, [mask])


def test_rows_are_means_over_seeds_both_ways(one_shot: Run) -> None:
    found = stability(one_shot, points=4)
    assert [(row.sparsity, str(row.rewind), row.way) for row in found.rows] == [
        (sparsity, moment, way) for sparsity in (0.0, 0.8) for moment in ("0", "1ep") for way in WAYS
    ]
    for row in found.rows:
        assert row.seeds == (0, 1)
        same = [
            one.barrier for one in found.measured if (one.pair.sparsity, one.pair.rewind) == (row.sparsity, row.rewind)
        ]
        for part in PARTS:
            values = [one.instability(row.way, part) for one in same]
            assert row.instability[part].mean == pytest.approx(sum(values) / 2)
    assert [(one.sparsity, one.way) for one in found.earliest] == [(s, way) for s in (0.0, 0.8) for way in WAYS]
    assert json.loads(json.dumps(found.as_json()))["points"] == 4


def test_a_second_analysis_computes_nothing(one_shot: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = Run(Path(shutil.copytree(one_shot.path, tmp_path / "run")), one_shot.spec)
    shutil.rmtree(copied.layout.analysis, ignore_errors=True)
    heard: list[str] = []
    first = stability(copied, points=2, ways=["interpolated"], told=heard.append)
    assert len(heard) == len(first.measured) == 8
    kept = cache_of(copied).path.read_bytes()
    heard.clear()
    both = stability(copied, points=2, told=heard.append)  # the other way is computed, this one is not
    assert len(heard) == 8
    assert [one.barrier.lines["interpolated"] for one in both.measured] == [
        one.barrier.lines["interpolated"] for one in first.measured
    ]
    monkeypatch.setattr(measurement, "trained_state", lambda *_: pytest.fail("weights were read"))
    shutil.rmtree(copied.path / "masks")
    heard.clear()
    assert stability(copied, points=2, told=heard.append) == both
    assert heard == []
    assert cache_of(copied).path.read_bytes() != kept


def test_levels_are_compared_with_the_one_before(chain: Run) -> None:
    found = stability(chain, points=2)
    levels = [one.pair for one in found.measured if one.pair.kind == "levels"]
    assert [(pair.first.id, pair.second.id) for pair in levels] == [
        (f"{first}-seed{seed}", f"{second}-seed{seed}")
        for first, second in (("dense", "l01-r1ep"), ("l01-r1ep", "l02-r1ep"))
        for seed in (0, 1)
    ]
    copies = [one.pair.second.id for one in found.measured if one.pair.kind == "copies"]
    assert copies == ["l02-r1ep-seed0-copy", "l02-r1ep-seed1-copy"]
    assert [(row.kind, row.level) for row in found.rows if row.way == "interpolated"] == [
        ("copies", 2), ("levels", 1), ("levels", 2),
    ]  # fmt: skip
    dense = found.measured[2].pair.first
    assert dense.kind == "dense"
    final = dense.checkpoints["3ep"]
    assert trained_state(chain, dense).keys() == Small().state_dict().keys()
    assert final == "3ep.safetensors"
    assert {one.what for one in found.likenesses} == {"seeds", "start"}


def test_likenesses_are_those_of_the_masks_and_signs(one_shot: Run) -> None:
    found = {(one.what, str(one.moment)): one for one in stability(one_shot, points=4).likenesses}
    assert set(found) == {(what, moment) for what in ("seeds", "moments", "start") for moment in ("0", "1ep")}
    done = one_shot.results().done
    tickets = [done[f"s0.8-r1ep-seed{seed}"] for seed in (0, 1)]
    masks = [mask_of(one_shot, ticket) for ticket in tickets]
    total, one = mask_overlap(*masks).total, found["seeds", "1ep"]
    assert (one.sparsity, one.n, one.overlap, one.by_chance) == (0.8, 1, total.iou, total.by_chance)
    assert one.signs == sign_agreement(*(trained_state(one_shot, ticket) for ticket in tickets), masks)
    overlaps, then_signs, since = [], [], []
    for seed, mask in enumerate(masks):
        dense = done[f"dense-seed{seed}"]
        early = load(one_shot, dense, "1ep")
        ranked = torch.cat([early[name].abs().flatten() for name in mask.tensors])
        kept = torch.zeros(len(ranked), dtype=torch.bool)
        kept[ranked.argsort(descending=True)[: mask.kept]] = True
        wanted = torch.cat([tensor.flatten() for tensor in mask.tensors.values()])
        overlaps.append(int((kept & wanted).sum()) / int((kept | wanted).sum()))
        then_signs.append(sign_agreement(early, trained_state(one_shot, dense), [mask]))
        since.append(sign_agreement(early, trained_state(one_shot, tickets[seed]), [mask]))
    assert found["moments", "1ep"].overlap == pytest.approx(sum(overlaps) / 2)
    assert found["moments", "1ep"].signs == pytest.approx(sum(then_signs) / 2)
    assert found["start", "1ep"].signs == pytest.approx(sum(since) / 2)
    assert found["start", "1ep"].overlap is None


def load(run: Run, dense, moment: str) -> dict[str, torch.Tensor]:
    from lth.training.checkpoint import load_state

    return load_state(run.artefact(dense, dense.checkpoints[moment]))


def test_a_run_without_copies_is_told_what_to_add(one_shot: Run, tmp_path: Path) -> None:
    copied = Run(Path(shutil.copytree(one_shot.path, tmp_path / "run")), one_shot.spec)
    for path in (copied.path / "cells").glob("*-copy"):
        shutil.rmtree(path)
    with pytest.raises(RunError, match=r'controls = \["copy"\] and controls_at = "all"'):
        stability(copied)


def test_damaged_files_are_named(one_shot: Run, tmp_path: Path) -> None:
    copied = Run(Path(shutil.copytree(one_shot.path, tmp_path / "run")), one_shot.spec)
    ticket = copied.results().done["s0.8-r0-seed0"]
    path = copied.artefact(ticket, "weights.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(RunError, match="sha256 differs"):
        trained_state(copied, ticket)
    copied.layout.mask(0, "0.8").write_bytes(b"no mask")
    with pytest.raises(LthError, match="mask"):
        mask_of(copied, ticket)
    assert Mask.load(copied.layout.mask(1, "0.8")).density == pytest.approx(0.2, abs=1e-3)
    assert ticket.rewind == Step()
