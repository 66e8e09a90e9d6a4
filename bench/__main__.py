"""`python -m bench`: runs the benchmarks and prints their ratios beside the limits."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Mapping

import msgspec
from rich.console import Console
from rich.table import Table

warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

import django  # noqa: E402

django.setup()

from bench import (  # noqa: E402
    admin_lists,
    backlog,
    contention,
    followers,
    foreign_writers,
    history,
    log_append,
    memory,
    monitor_tick,
    recording,
    removal,
    replay_speed,
)
from bench.measure import Ratio  # noqa: E402

BENCHMARKS = {
    "replay": lambda options: replay_speed.run(options.turns),
    "monitor": lambda options: monitor_tick.run(options.turns),
    "history": lambda options: history.run(options.turns),
    "contention": lambda options: contention.run(options.turns),
    "recording": lambda options: recording.run(options.turns),
    "log": lambda options: log_append.run(options.turns),
    "big-log": lambda options: log_append.run_big(options.turns),
    "clickhouse": lambda options: followers.run_clickhouse(options.turns),
    "django": lambda options: followers.run_django(options.turns),
    "foreign": lambda options: foreign_writers.run(options.turns),
    "retention": lambda options: removal.run(options.turns),
    "lists": lambda options: admin_lists.run(options.turns, options.rows, options.questions, options.keep),
    "backlog": lambda options: backlog.run(options.entries),
    "memory": lambda options: memory.run(options.minutes),
}


def main() -> int:
    """Runs what was asked for; 1 if a limit was missed, 2 for an unknown name."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--turns", type=int, default=5, help="counted turns of each (default %(default)s)")
    parser.add_argument("--minutes", type=int, default=12, help="length of the memory run (default %(default)s)")
    parser.add_argument("--entries", type=int, default=200_000, help="of the backlog (default %(default)s)")
    parser.add_argument("--rows", type=int, default=20_000, help="results behind the lists (default %(default)s)")
    parser.add_argument("--questions", type=int, default=12, help="to each list; 0: all (default %(default)s)")
    parser.add_argument("--keep", metavar="DIR", default="", help="keep the lists' databases there, use those it has")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--memory-run", metavar="REDIS_URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_run:
        sys.stdout.buffer.write(msgspec.json.encode(memory.simulate(options.memory_run, options.minutes)))
        return 0
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    load_before = os.getloadavg()[0]
    found = [ratio for name in options.names or BENCHMARKS for ratio in BENCHMARKS[name](options)]
    machine = {"cores": os.cpu_count(), "load_before": load_before, "load_after": os.getloadavg()[0]}
    if options.json:
        ratios = [msgspec.structs.asdict(ratio) | {"verdict": ratio.verdict} for ratio in found]
        print(json.dumps({"machine": machine, "ratios": ratios}, indent=2))
    else:
        show(found, machine)
    return int(any(ratio.verdict == "MISSED" for ratio in found))


def show(found: list[Ratio], machine: Mapping[str, object]) -> None:
    """Prints the ratios as a table."""
    table = Table("benchmark", "ours", "against", "ratio", "least to most", "limit", "verdict")
    for each in found:
        bound = "at least" if each.at_least else "at most"
        table.add_row(
            each.name,
            f"{each.ours}\n{each.ours_value:,.4g} {each.unit}",
            f"{each.bare}\n{each.bare_value:,.4g} {each.unit}",
            f"{each.ratio:.3g}",
            f"{each.ratio_min:.3g} to {each.ratio_max:.3g}",
            "" if each.limit is None else f"{bound} {each.limit:g}",
            each.verdict,
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    print("machine: " + ", ".join(f"{name} {value}" for name, value in machine.items()))


if __name__ == "__main__":
    sys.exit(main())
