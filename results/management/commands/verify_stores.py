"""`manage.py verify_stores`: whether Redis, DuckDB, the Django tables and ClickHouse hold the same rows.

Exit status 0: all agree; 1: rows differ, and are named; 2: a store is behind, or could not be asked.
"""

from __future__ import annotations

import datetime
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paperdesk.command import DeskCommand, progress, seconds
from results import services
from results.pipeline.verify import AGREE, BEHIND, DIFFER, TableDay, VerifyReport
from results.stores.schema import TABLES

EXIT = {AGREE: 0, DIFFER: 1, BEHIND: 2}
STORES = ("duckdb", "django", "clickhouse", "redis")
COLOUR = {AGREE: "green", DIFFER: "red", BEHIND: "yellow"}


class Command(DeskCommand):
    help = "Compare the rows of all stores by hashes recomputed from their values; exit status 0 only if all agree."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--table", action="append", default=[], choices=sorted(TABLES), help="one table (repeatable)"
        )
        parser.add_argument("--day", type=_day, help="one UTC day, YYYY-MM-DD")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--recheck-seconds",
            type=seconds,
            default=services.RECHECK_SECONDS,
            help="how long what was found may take to settle before it is looked at once more (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("comparing the stores", options["json"]):
            report = services.stores_verify(options["table"], options["day"], options["recheck_seconds"])
        if options["json"]:
            told = {"ok": report.verdict == AGREE, **msgspec.to_builtins(report)}
            self.stdout.write(msgspec.json.encode(told).decode())
        else:
            _print(report, Console(file=self.stdout._out, soft_wrap=True))
        if EXIT[report.verdict]:
            sys.exit(EXIT[report.verdict])


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day like 2024-08-08") from None


def _print(report: VerifyReport, console: Console) -> None:
    table = Table("table", "UTC day", *STORES, "", box=None)
    for row in report.tables:
        counts = [str(row.stores[store].count) if store in row.stores else "-" for store in STORES]
        table.add_row(row.table, row.day.isoformat(), *counts, _verdict(row))
    console.print(table)
    for each in report.differences:
        where = f"{each.table} {each.key} ({each.day})"
        console.print(f"[red]{each.kind}[/red] {where}: {escape(each.sentence)}", highlight=False)
    if report.difference_count > len(report.differences):
        console.print(f"... and {report.difference_count - len(report.differences)} more")
    for sentence in (*report.unreadable, *report.away.values()):
        console.print(escape(sentence), highlight=False)
    for store, count in report.behind.items():
        console.print(f"{store} is behind: {count} rows", highlight=False)
    if report.foreign:
        console.print(f"{report.foreign} records of other programs in Redis are not compared", highlight=False)
    console.print(
        f"[{COLOUR[report.verdict]}]{report.verdict}[/]: {report.rows} rows in the log, {report.difference_count} "
        f"differ, {report.seconds:.1f} s",
        highlight=False,
    )


def _verdict(each: TableDay) -> str:
    if each.differences:
        return f"[red]{each.differences} differ[/red]"
    return "[yellow]behind[/yellow]" if each.behind else "[green]agree[/green]"
