"""`python -m bench`: runs the benchmarks and prints their ratios."""

from __future__ import annotations

import argparse
import json
import os
import sys

import msgspec
from rich.console import Console
from rich.table import Table

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django

django.setup()

from bench import monitor_tick, replay_speed  # noqa: E402
from bench.measure import Ratio  # noqa: E402

BENCHMARKS = {"replay": replay_speed.run, "monitor": monitor_tick.run}


def main() -> int:
    """Runs what was asked for; 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--turns", type=int, default=5, help="counted turns of each (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    found = [ratio for name in options.names or BENCHMARKS for ratio in BENCHMARKS[name](options.turns)]
    if options.json:
        print(json.dumps({"ratios": [msgspec.structs.asdict(ratio) for ratio in found]}, indent=2))
    else:
        show(found)
    return 0


def show(found: list[Ratio]) -> None:
    """Prints the ratios as a table."""
    table = Table("benchmark", "ours", "bare", "ratio", "least to most")
    for each in found:
        table.add_row(
            each.name,
            f"{each.ours}\n{each.ours_seconds:.3f} s",
            f"{each.bare}\n{each.bare_seconds:.3f} s",
            f"{each.ratio:.2f}",
            f"{each.ratio_min:.2f} to {each.ratio_max:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
