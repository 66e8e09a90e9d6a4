"""`python -m tests.faults`: a whole desk of real processes under seeded faults, while clients write.

Exit status 0: nothing was lost or doubled, all stores agree, no rule was broken, and the desk always came back; of half
an hour and more, also that the run had the faults and rows and recovery times it is for. 1: something is wrong, and is
named, or the desk ended; 2: wrong arguments, or a desk that did not start; 130: Ctrl-C.
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
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "paperdesk.settings")
    os.environ.setdefault("PAPERDESK_ENV_FILE", os.devnull)
    os.environ.setdefault("PAPERDESK_DATA", tempfile.gettempdir())
    import django

    django.setup()  # the tables are Django's models

from tests.faults.clock import library  # noqa: E402
from tests.faults.desk import POSTGRES, SQLITE, DeskEnded, DeskFailed  # noqa: E402
from tests.faults.disk import own_disk  # noqa: E402
from tests.faults.harm import CLOCK_STEP, EMPTIED, KINDS  # noqa: E402
from tests.faults.rounds import KILL  # noqa: E402
from tests.faults.run import Asked, Outcome, Struck, kinds_of, run  # noqa: E402

SECONDS = 90.0
DISK_MEGABYTES, DISK_MEGABYTES_PER_MINUTE = 600, 60
TARGET_SECONDS = {"kill": 5.0, "freeze": 15.0}
PROCESS_FAULTS, WIRE_FAULTS, KINDS_OF_FAULTS, ROWS = 150, 1_000, 10, 500_000  # goals of a run of LONG_SECONDS
EXIT_WRONG, EXIT_REFUSED, EXIT_INTERRUPTED = 1, 2, 130


class Interrupted(BaseException):
    """Somebody asked the run to stop."""


def main(words: Sequence[str]) -> int:
    """Run as the words say; the exit status."""
    options = _options(words)
    seconds = options.minutes * 60 if options.minutes else options.seconds
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1_000_000)
    kinds = options.kinds or [kind for kind in KINDS if kind != EMPTIED]
    if library() is None:
        kinds = [kind for kind in kinds if kind != CLOCK_STEP]
    told = sys.stderr if options.json else sys.stdout
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="paperdesk-faults-"))
    has_disk = own_disk(folder / "data", DISK_MEGABYTES + int(DISK_MEGABYTES_PER_MINUTE * seconds / 60))
    disk = "a tmpfs" if has_disk else "no disk of its own: only the warehouse worker finds it full"
    asked = Asked(seed, seconds, kinds, options.kills, options.rows_per_second, has_disk, options.database)
    say = lambda line: print(line, file=told, flush=True)  # noqa: E731
    say(f"seed {seed}, {seconds:.0f} s, {len(kinds)} kinds of faults, {disk}; logs in {folder}")
    if library() is None:
        say("no clock is stepped, because libfaketime is missing: apt-get install libfaketime")
    try:
        outcome = run(folder, asked, say)
    except DeskFailed as error:
        print(f"Error: {error}", file=sys.stderr)
        return EXIT_WRONG if isinstance(error, DeskEnded) else EXIT_REFUSED
    except Interrupted:
        print("stopped; all processes have ended", file=sys.stderr)
        return EXIT_INTERRUPTED
    if options.json:
        told_json = {"ok": outcome.ok, **msgspec.to_builtins(outcome), "recovery": recovery(outcome.faults)}
        told_json |= {"kinds": kinds_of(outcome.faults), "shortfalls": shortfalls(outcome)}
        sys.stdout.buffer.write(msgspec.json.encode(told_json) + b"\n")
    else:
        show(outcome, Console(soft_wrap=True))
    if outcome.ok:
        shutil.rmtree(folder, ignore_errors=True)
    is_short = outcome.asked.is_long and bool(shortfalls(outcome))
    return 0 if outcome.ok and not is_short else EXIT_WRONG


def recovery(faults: Sequence[Struck]) -> dict[str, dict[str, float]]:
    """Seconds until the desk was normal again, by group, by kind and target of kills and freezes, and of barrages: how
    many times, p50, p99 and the longest. Only faults that struck alone count, and each barrage once."""
    took: dict[str, list[float]] = defaultdict(list)
    for each in faults:
        if not each.barrage:
            took[each.group].append(each.seconds)
            if each.group in TARGET_SECONDS:
                took[f"{each.kind} {each.target}"].append(each.seconds)
    if barrages := {each.barrage: each.seconds for each in faults if each.barrage}:
        took["barrage"] = list(barrages.values())
    return {name: _spread(seconds) for name, seconds in sorted(took.items())}


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    rising = sorted(seconds)
    p99 = rising[max(0, -(-99 * len(rising) // 100) - 1)]
    return {"count": len(rising), "p50": statistics.median(rising), "p99": p99, "max": rising[-1]}


def shortfalls(outcome: Outcome) -> list[str]:
    """Which goals of a long run were missed: faults, kinds, rows, and seconds to recover."""
    counted = {
        "process faults": (outcome.count("kill", "freeze"), PROCESS_FAULTS),
        "faults on the wire": (outcome.count("wire"), WIRE_FAULTS),
        "kinds of faults": (len(kinds_of(outcome.faults)), KINDS_OF_FAULTS),
        "rows end to end": (outcome.judgement.rows, ROWS),
    }
    found = [f"{count} {name}, {goal} wanted" for name, (count, goal) in counted.items() if count < goal]
    times = recovery(outcome.faults)
    for group, target in TARGET_SECONDS.items():
        if group in times and times[group]["p99"] > target:
            found.append(f"p99 after a {group} is {times[group]['p99']:.1f} s, {target:.0f} s wanted")
    return found


def show(outcome: Outcome, console: Console) -> None:
    """The closing report for people."""
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
        f"{outcome.count('kill', 'freeze')} process faults, {outcome.count('wire')} faults on the wire, "
        f"{len(kinds_of(outcome.faults))} kinds, in {outcome.seconds:.0f} s"
    )
    console.print(
        f"{judgement.acknowledged} changes acknowledged in {judgement.operations} operations, {judgement.foreign} "
        f"writes of another program; {judgement.rows} rows end to end"
    )
    wrong = {"lost": 0, "duplicated": 0, "checksum": 0, **judgement.findings}
    wrong |= {"differences of stores": len(outcome.differences), "invariant violations": len(outcome.violations)}
    console.print(", ".join(f"{name} {count}" for name, count in wrong.items()))
    for sentence in (*judgement.shown, *outcome.differences, *outcome.violations):
        console.print(f"[red]wrong[/red] {escape(sentence)}", highlight=False)
    if outcome.asked.is_long:
        for sentence in shortfalls(outcome):
            console.print(f"[red]short of its goal[/red] {sentence}", highlight=False)
    console.print(
        f"{'[green]all is well[/green]' if outcome.ok else '[red]NOT WELL[/red]'}; "
        f'again with: make faults ARGS="{outcome.asked.words}"',
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
    parser.add_argument("--database", choices=(SQLITE, POSTGRES), default=SQLITE, help="of the Django tables")
    parser.add_argument("--json", action="store_true", help="print one JSON object, and what happens on stderr")
    options = parser.parse_args(words)
    if options.kills and KILL not in (options.kinds or KINDS):
        parser.error(f"--kills {options.kills} needs {KILL} among the --kinds")
    return options


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
