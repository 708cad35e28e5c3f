"""A ticket opens without lth: the example, and the snippets of docs/tickets.md, run as written."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lth.tickets import Ticket

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "use_a_ticket.py"
PAGE = ROOT / "docs" / "tickets.md"
BLOCKED = """
import runpy, sys
sys.modules["lth"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_without_lth(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-W", "error", "-c", BLOCKED, str(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def imports(source: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def code_lines(source: str) -> list[str]:
    """Returns the lines that are neither blank, comment, nor the docstring."""
    lines = [line.strip() for line in source.splitlines()]
    return [line for line in lines if line and not line.startswith(("#", '"""'))]


def test_the_block_on_lth_is_real(tmp_path: Path) -> None:
    script = tmp_path / "tries.py"
    for line in ("import lth", "from lth.tickets import Ticket", "import lth.errors"):
        script.write_text(line)
        done = run_without_lth(script)
        assert done.returncode == 1
        assert "ModuleNotFoundError" in done.stderr


def test_the_example_opens_a_lenet_ticket_without_lth(lenet: Ticket, lenet_file: Path) -> None:
    done = run_without_lth(EXAMPLE, lenet_file)
    assert (done.returncode, done.stderr) == (0, "")
    for name, keep in lenet.mask.tensors.items():
        kept, total = int(keep.sum()), keep.numel()
        assert f"{name} {tuple(keep.shape)}: {kept} of {total} weights kept, density {kept / total:.4f}" in done.stdout
    assert "lenet_300_100 at sparsity 0.88, rewound to 2ep5it" in done.stdout
    logits = ast.literal_eval(done.stdout.rpartition("blank image: ")[2])
    assert torch.allclose(torch.tensor(logits), lenet.build()(torch.zeros(1, 1, 28, 28)), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_example_opens_any_other_ticket(dtype: torch.dtype, tmp_path: Path, small: object) -> None:
    ticket = small(dtype=dtype)  # type: ignore[operator]
    ticket.save(tmp_path / "t.safetensors")
    done = run_without_lth(EXAMPLE, tmp_path / "t.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    kept = int(ticket.mask.tensors["a.weight"].sum())
    assert f"a.weight (3, 5): {kept} of 15 weights kept, density {kept / 15:.4f}" in done.stdout
    assert "b.weight (3, 1): 0 of 3 weights kept, density 0.0000" in done.stdout


def test_the_example_is_short_and_needs_only_safetensors_and_torch() -> None:
    source = EXAMPLE.read_text()
    assert imports(source) <= {"safetensors", "torch", *sys.stdlib_module_names}
    assert len(code_lines(source)) <= 25


def snippets() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_the_page_has_snippets_of_both_kinds() -> None:
    assert {"lth" in imports(snippet) for snippet in snippets()} == {True, False}


@pytest.mark.parametrize("snippet", snippets())
def test_the_snippets_of_the_page_run(
    snippet: str, lenet_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ticket.safetensors").write_bytes(lenet_file.read_bytes())
    monkeypatch.chdir(tmp_path)
    if "lth" in imports(snippet):
        exec(compile(snippet, str(PAGE), "exec"), {})
        return
    script = tmp_path / "snippet.py"
    script.write_text(snippet)
    done = run_without_lth(script)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_names_every_field_of_the_header(lenet: Ticket) -> None:
    page, header = PAGE.read_text(), lenet.header
    parts = [header, header.model, header.data, header.parent, *header.accuracies.values()]
    names = {name for part in parts if part for name in type(part).model_fields}
    missing = [name for name in names | {"shapes", "payload_sha256", "header_sha256"} if f"`{name}`" not in page]
    assert missing == []
