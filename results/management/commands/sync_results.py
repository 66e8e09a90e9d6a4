"""`manage.py sync_results --once|--follow`: carry the outbox into every durable store, once or until Ctrl-C."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paperdesk.command import DeskCommand, progress
from results import services
from results.pipeline.log_writer import Progress as OnProgress
from results.pipeline.report import FollowerState, SweepState, SyncReport

FOLLOW_SECONDS = 3.0
EXIT_NOT_LEVEL = 1
EXIT_INTERRUPTED = 130


class Command(DeskCommand):
    help = "Carry new rows from the outbox stream into DuckDB, the Django tables and ClickHouse."

    def add_arguments(self, parser: ArgumentParser) -> None:
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--once", action="store_true", help="until every store has everything (the default)")
        chosen.add_argument("--follow", action="store_true", help=f"every {FOLLOW_SECONDS:g} s, until Ctrl-C")
        parser.add_argument("--json", action="store_true", help="print one JSON object per report")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["follow"]:
                self._follow(options["json"])
            else:
                report = self._once(options["json"])
                if not report.is_level:
                    sys.exit(EXIT_NOT_LEVEL)
        except KeyboardInterrupt:
            self.stderr.write("stopped; what was written stays, the rest waits for the next sync")
            if not options["follow"]:
                sys.exit(EXIT_INTERRUPTED)

    def _once(self, as_json: bool) -> SyncReport:
        with progress("syncing", as_json) as say:
            report = services.results_sync_all(_counter(say))
        self._print(report, as_json)
        return report

    def _follow(self, as_json: bool) -> None:
        while True:
            started = time.monotonic()
            report = services.results_sync()
            if report.appended or report.changed or not report.is_level:
                self._print(report, as_json)
            time.sleep(max(0.0, FOLLOW_SECONDS - (time.monotonic() - started)))

    def _print(self, report: SyncReport, as_json: bool) -> None:
        if as_json:
            told = {"ok": report.is_level, **msgspec.to_builtins(report)}
            told["retention"] = msgspec.to_builtins(services.results_retained())
            self.stdout.write(msgspec.json.encode(told).decode())
            return
        console = Console(file=self.stdout._out, soft_wrap=True)
        console.print(
            f"{report.appended} rows appended, {report.reconciled} trades reconciled, {report.dead_letters} dead "
            f"letters, {report.trimmed} entries trimmed, {report.duration_ms / 1000:.2f} s"
        )
        console.print(_table(report))
        self._print_hot(console)
        sweep = report.followers["sweep"]
        if isinstance(sweep, SweepState) and sweep.seen:
            sums = f"{sweep.seen} seen = {sweep.accepted} accepted + {sweep.set_aside} set aside"
            console.print(f"records of other programs, ever: {sums}; {_letters(sweep)}")

    def _print_hot(self, console: Console) -> None:
        retained = services.results_retained()
        if retained:
            hot = ", ".join(f"{count} {name}" for name, count in retained.hot.items())
            stay = "".join(f"; {count} stay: {reason}" for reason, count in retained.put_off.items())
            console.print(f"hashes in Redis: {hot}; the last retention removed {retained.removed}{stay}")


def _counter(say: Callable[[str], None]) -> OnProgress:
    counts: dict[str, int] = {}

    def on_progress(point: str, count: int) -> None:
        counts[point] = counts.get(point, 0) + count
        say(", ".join(f"{name} {number}" for name, number in counts.items() if number))

    return on_progress


def _table(report: SyncReport) -> Table:
    table = Table("follower", "position", "waiting", "state", box=None)
    for name, state in report.followers.items():
        table.add_row(name, state.position, str(state.lag), _state(state))
    return table


def _letters(sweep: SweepState) -> str:
    """What waits, and where to look."""
    told = ["1 dead letter waits" if sweep.open == 1 else f"{sweep.open} dead letters wait"] if sweep.open else []
    if sweep.incomplete:
        told.append(f"{sweep.incomplete} still incomplete")
    return ", ".join(told or ["nothing waits"]) + (
        " (admin, or /api/v1/dead-letters/?state=open)" if sweep.open else ""
    )


def _state(state: FollowerState) -> str:
    if state.error:
        return f"[red]{escape(state.error)}[/red]"
    return "level" if state.lag == 0 else "behind"
