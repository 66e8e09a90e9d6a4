"""`python -m tests.faults`: a whole desk of real processes under seeded faults, while clients write.

Exit status 0: nothing was lost or doubled, all stores agree, no rule was broken, and the desk always came back;
1: something is wrong, and is named, or the desk ended; 2: wrong arguments, or a desk that did not start; 130: Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console
from rich.table import Table

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "paperdesk.settings")
    os.environ.setdefault("PAPERDESK_ENV_FILE", os.devnull)
    os.environ.setdefault("PAPERDESK_DATA", tempfile.gettempdir())
    import django

    django.setup()  # the tables are Django's models

from tests.faults.desk import DeskEnded, DeskFailed  # noqa: E402
from tests.faults.disk import own_disk  # noqa: E402
from tests.faults.harm import KINDS, LAST  # noqa: E402
from tests.faults.run import Asked, Outcome, Struck, kinds_of, run  # noqa: E402

SECONDS = 90.0
DISK_MEGABYTES, DISK_MEGABYTES_PER_MINUTE = 600, 60
TARGET_SECONDS = {"kill": 5.0, "freeze": 15.0}
EXIT_WRONG, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 130


class Interrupted(BaseException):
    """Somebody asked the run to stop."""


def main(words: Sequence[str]) -> int:
    """Run as the words say; the exit status."""
    options = _options(words)
    seconds = options.minutes * 60 if options.minutes else options.seconds
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    kinds = options.kinds or [kind for kind in KINDS if kind not in LAST]
    told = sys.stderr if options.json else sys.stdout
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="paperdesk-faults-"))
    has_disk = own_disk(folder / "data", DISK_MEGABYTES + int(DISK_MEGABYTES_PER_MINUTE * seconds / 60))
    disk = "a tmpfs" if has_disk else "no disk of its own: only the warehouse worker finds it full"
    say = lambda line: print(line, file=told, flush=True)  # noqa: E731
    say(f"seed {seed}, {seconds:.0f} s, {len(kinds)} kinds of faults, {disk}; logs in {folder}")
    try:
        outcome = run(folder, Asked(seed, seconds, kinds, options.kills, options.rows_per_second, has_disk), say)
    except DeskFailed as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_WRONG if isinstance(error, DeskEnded) else EXIT_REFUSED
    except Interrupted:
        print("stopped; all processes have ended", file=sys.stderr)
        return EXIT_INTERRUPTED
    if options.json:
        told_json = {"ok": outcome.ok, **msgspec.to_builtins(outcome), "recovery": recovery(outcome.faults)}
        sys.stdout.buffer.write(msgspec.json.encode(told_json) + b"\n")
    else:
        show(outcome, Console(soft_wrap=True))
    if outcome.ok:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if outcome.ok else EXIT_WRONG


def recovery(faults: Sequence[Struck]) -> dict[str, dict[str, float]]:
    """Seconds until the desk was normal again: p50, p99 and the longest, by group of faults."""
    found = {}
    for group in sorted({each.group for each in faults}):
        took = sorted(each.seconds for each in faults if each.group == group)
        p99 = took[max(0, -(-99 * len(took) // 100) - 1)]
        found[group] = {"count": len(took), "p50": statistics.median(took), "p99": p99, "max": took[-1]}
    return found


def show(outcome: Outcome, console: Console) -> None:
    """The summary for people."""
    faults = Table("kind", "faults", box=None)
    for kind, count in kinds_of(outcome.faults).items():
        faults.add_row(kind, str(count))
    console.print(faults)
    times = Table("back to normal after a", "times", "p50 s", "p99 s", "max s", "target s", box=None)
    for group, seconds in recovery(outcome.faults).items():
        shown = [f"{seconds[name]:.1f}" for name in ("p50", "p99", "max")]
        times.add_row(group, str(int(seconds["count"])), *shown, str(TARGET_SECONDS.get(group, "-")))
    console.print(times)
    judgement = outcome.judgement
    console.print(
        f"{judgement.acknowledged} changes acknowledged in {judgement.operations} operations, {judgement.foreign} "
        f"writes of another program; {judgement.rows} rows end to end"
    )
    wrong = {"lost": 0, "duplicated": 0, **judgement.findings, "invariant violations": len(outcome.violations)}
    console.print(", ".join(f"{name} {count}" for name, count in wrong.items()))
    for sentence in (*judgement.shown, *outcome.differences, *outcome.violations):
        console.print(f"[red]wrong[/red] {sentence}", highlight=False, markup=True)
    console.print(
        f"{'[green]all is well[/green]' if outcome.ok else '[red]NOT WELL[/red]'}; "
        f'again with: make faults ARGS="--seconds {outcome.asked.seconds:.0f} --seed {outcome.asked.seed}"',
        highlight=False,
    )


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seconds", type=_positive, default=SECONDS, help="how long to strike (default %(default)s)")
    parser.add_argument("--minutes", type=_positive, help="the same in minutes")
    parser.add_argument("--seed", type=int, help="of the plan; a random one is printed")
    parser.add_argument("--kills", type=int, default=0, help="go on until so many processes were killed")
    parser.add_argument("--rows-per-second", type=_positive, default=300.0, help="that clients write (%(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, metavar="KIND", help=f"only these: {', '.join(KINDS)}")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and what happens on stderr")
    return parser.parse_args(words)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise Interrupted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
