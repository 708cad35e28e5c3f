"""Claim: a run of lenet-fc-2019 told wrong falls outside its bands: reinit or dense passed off as the ticket, tickets
that were not rewound, masks one level off.

Takes a finished run, tells its tickets wrong in memory (nothing is written), and prints which rows each way of it
puts outside, beside the rows of the run as it is.

    python benchmarks/bands_bite.py RUN [--scale small]
"""

from __future__ import annotations

import argparse

from lth.results.bands import Row, bands, rows
from lth.results.expectations import cells, made_by
from lth.results.forged import FORGERIES, forged
from lth.runs.run import open_run


def told(how: str, found: tuple[Row, ...]) -> None:
    """Prints the rows that are outside, and how many are not."""
    outside = [row for row in found if row.verdict == "outside"]
    missing = sum(row.verdict == "incomplete" for row in found)
    print(f"\n{how}: {len(outside)} of {len(found)} rows outside" + (f", {missing} incomplete" if missing else ""))
    for row in outside:
        what, _, band, ours, interval, _ = cells(row)
        print(f"  {what}: {ours}{f' [{interval}]' if interval else ''}, band {band}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="run directory of lenet-fc-2019")
    parser.add_argument("--scale", default="small", choices=["small", "paper"])
    arguments = parser.parse_args()
    run, expected = open_run(arguments.run), bands("lenet-fc-2019", arguments.scale)
    results = run.results()
    print(made_by(run.spec, results))
    told("as it is", rows(expected, run.spec, results))
    bitten = True
    for how in FORGERIES:
        found = rows(expected, run.spec, forged(run.spec, results, how))
        told(how, found)
        bitten &= any(row.verdict == "outside" for row in found)
    print(f"\n{'Every' if bitten else 'NOT every'} forgery falls outside.")
    raise SystemExit(not bitten)


if __name__ == "__main__":
    main()
