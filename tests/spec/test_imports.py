"""Reading a spec and planning a run stay instant: nothing heavy is imported."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("torch", "numpy", "scipy", "sklearn", "safetensors", "altair", "vl_convert", "typer", "rich")


def test_spec_and_planning_import_nothing_heavy() -> None:
    program = f"""
import sys
import lth.spec, lth.planning, lth.grid.plan, lth.spec.load, lth.spec.identity, lth.spec.presets, lth.planning.cost
spec = lth.spec.load.parse_spec(lth.spec.presets.preset_text("digits_lenet"), "preset")
lth.grid.plan.plan(spec, train_examples=1000, parameters=266610)
lth.spec.identity.digest(lth.spec.identity.experiment(spec))
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
