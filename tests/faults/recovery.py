"""`python -m tests.faults.recovery`: how long a desk takes to be normal again, for each process and each kind.

Kills and freezes, one at a time, on a desk that is normal and whose clients write at an ordinary pace. It prints, by
kind and process, the median, the 99th percentile and the longest, and which part came back last in the slowest one.
Nothing is judged here but time: `python -m tests.faults` is for that.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "paperdesk.settings")
    os.environ.setdefault("PAPERDESK_ENV_FILE", os.devnull)
    os.environ.setdefault("PAPERDESK_DATA", tempfile.gettempdir())
    import django

    django.setup()  # the tables are Django's models

from tests.faults.desk import SERVERS, Desk  # noqa: E402
from tests.faults.harm import PROGRAMS, Harm  # noqa: E402
from tests.faults.normal import Normal, now_us  # noqa: E402
from tests.faults.run import Asked, clients  # noqa: E402

KINDS = ("kill", "freeze")
START_SECONDS_MAX = 120.0
NORMAL_SECONDS_MAX = 120.0
PAUSE_SECONDS = (0.2, 3.2)  # at any moment between two syncs


class Recovered(msgspec.Struct, frozen=True):
    """One fault: seconds from its end until the desk was normal, and what was the last to be."""

    kind: str
    target: str
    seconds: float
    last: str


class Watched(Normal):
    """Remembers what was lacking when it was last asked and something was."""

    last: Sequence[str] = ()

    def lacking(self, since_us: int, last_id: str) -> list[str]:
        """See Normal."""
        found = super().lacking(since_us, last_id)
        self.last = found or self.last
        return found


def main(words: Sequence[str]) -> int:
    """Measure as the words say; the exit status: 1 when a desk did not come back."""
    options = _options(words)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="paperdesk-recovery-") as folder, Desk(Path(folder)) as desk:
        (desk.folder / "lists").mkdir()
        normal = Watched(desk.redis, desk.address, desk.require_running)
        normal.wait(now_us(), START_SECONDS_MAX)
        asked = Asked(options.seed, 0.0, (), rows_per_second=options.rows_per_second)
        with clients(desk, desk.folder / "lists", asked):
            plan = [Harm(kind, name) for kind in options.kinds for name in options.processes]
            done = [struck(desk, normal, harm, chance) for _ in range(options.times) for harm in plan]
    show(done, Console(soft_wrap=True))
    return int(any(each.seconds >= NORMAL_SECONDS_MAX for each in done))


def struck(desk: Desk, normal: Watched, harm: Harm, chance: random.Random) -> Recovered:
    """One fault of a desk that is normal, and the wait for what follows."""
    normal.wait(now_us(), NORMAL_SECONDS_MAX)
    time.sleep(chance.uniform(*PAUSE_SECONDS))
    harm.do(desk, chance)
    seconds, _ = normal.wait(now_us(), NORMAL_SECONDS_MAX)
    done = Recovered(harm.kind, harm.target, seconds, normal.last[-1] if normal.last else "")
    print(f"{done.kind:<7} {done.target:<11} {seconds:5.1f} s  {done.last}", flush=True)
    return done


def show(done: Sequence[Recovered], console: Console) -> None:
    """The summary, by kind and process."""
    table = Table("kind", "process", "times", "p50 s", "p99 s", "max s", "last of the slowest", box=None)
    for kind in dict.fromkeys(each.kind for each in done):
        those = [each for each in done if each.kind == kind]
        for name in (*dict.fromkeys(each.target for each in those), "all"):
            of_it = sorted((each for each in those if name in (each.target, "all")), key=lambda each: each.seconds)
            took = [each.seconds for each in of_it]
            shown = (statistics.median(took), took[-(-99 * len(took) // 100) - 1], took[-1])
            table.add_row(kind, name, str(len(took)), *(f"{each:.1f}" for each in shown), of_it[-1].last)
    console.print(table)
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.recovery", description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="that each process is struck by each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the pauses and of how long a freeze lasts")
    parser.add_argument("--rows-per-second", type=float, default=300.0, help="that clients write (%(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, metavar="KIND")
    names = (*PROGRAMS, *SERVERS)
    parser.add_argument("--processes", nargs="+", choices=names, default=names, metavar="NAME")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
