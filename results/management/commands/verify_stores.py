"""`manage.py verify_stores`: whether Redis, DuckDB, the Django tables and ClickHouse hold the same rows.

Exit status 0: all agree; 1: rows differ, and are named; 2: a store is behind, or could not be asked. With `--repair`
the status is that of the stores after it.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import msgspec
from django.core.management.base import CommandError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paperdesk.command import DeskCommand, day, progress, seconds
from results import services
from results.pipeline.verify.mending import RepairReport
from results.pipeline.verify.verifier import AGREE, BEHIND, DIFFER, TableDay, VerifyReport
from results.stores.schema import TABLES

EXIT = {AGREE: 0, DIFFER: 1, BEHIND: 2}
STORES = ("duckdb", "django", "clickhouse", "redis")
REPAIR_TOLD = ("repaired", "repaired_count", "unrepaired", "unrepaired_count")
COLOUR = {AGREE: "green", DIFFER: "red", BEHIND: "yellow"}


class Command(DeskCommand):
    help = "Compare the rows of all stores by hashes recomputed from their values; exit status 0 only if all agree."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--table", action="append", default=[], choices=sorted(TABLES), help="one table (repeatable)"
        )
        parser.add_argument("--day", type=day, help="one UTC day, YYYY-MM-DD")
        depth = parser.add_mutually_exclusive_group()
        depth.add_argument("--full", action="store_true", help="recompute every hash from the values (the default)")
        depth.add_argument("--quick", action="store_true", help="compare the hashes that are stored beside the rows")
        parser.add_argument(
            "--repair", action="store_true", help="send again what differs from the log, then verify once more"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--recheck-seconds",
            type=seconds,
            default=services.RECHECK_SECONDS,
            help="how long what was found may take to settle before it is looked at once more (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = options["table"], options["day"], options["recheck_seconds"]
        if options["repair"] and options["quick"]:
            raise CommandError("--repair needs every hash recomputed; leave out --quick")
        with progress("repairing the stores" if options["repair"] else "comparing the stores", options["json"]):
            repair = services.stores_repair(*chosen) if options["repair"] else None
            report = repair.verified if repair else services.stores_verify(*chosen, recompute=not options["quick"])
        if options["json"]:
            told = {"ok": report.verdict == AGREE, **msgspec.to_builtins(report)}
            if repair:
                told["repair"] = {name: msgspec.to_builtins(getattr(repair, name)) for name in REPAIR_TOLD}
            self.stdout.write(msgspec.json.encode(told).decode())
        else:
            console = Console(file=self.stdout._out, soft_wrap=True)
            if repair:
                _print_repair(repair, console)
            _print(report, console)
        if EXIT[report.verdict]:
            sys.exit(EXIT[report.verdict])


def _print(report: VerifyReport, console: Console) -> None:
    table = Table("table", "UTC day", *STORES, "", box=None)
    for row in report.tables:
        counts = [str(row.stores[store].count) if store in row.stores else "-" for store in STORES]
        table.add_row(row.table, row.day.isoformat(), *counts, _verdict(row))
    console.print(table)
    for each in report.differences:
        where = f"{each.table} {each.key} ({each.day})"
        console.print(f"[red]{each.kind}[/red] {where}: {escape(each.sentence)}", highlight=False)
        for cell in each.cells:
            told = f"  {cell.column}: {cell.here!r} in {each.store}, {cell.there!r} in {each.other}"
            console.print(escape(told), highlight=False)
    if report.difference_count > len(report.differences):
        console.print(f"... and {report.difference_count - len(report.differences)} more")
    for sentence in (*report.unreadable, *report.away.values()):
        console.print(escape(sentence), highlight=False)
    for store, count in report.behind.items():
        console.print(f"{store} is behind: {count} rows", highlight=False)
    for name, copies in report.duplicates.items():
        console.print(f"{name} holds {copies} rows twice; readers see them once", highlight=False)
    if report.foreign:
        console.print(f"{report.foreign} records of other programs in Redis are not compared", highlight=False)
    console.print(
        f"[{COLOUR[report.verdict]}]{report.verdict}[/]: {report.rows} rows in the log, {report.difference_count} "
        f"differ, {report.seconds:.1f} s",
        highlight=False,
    )


def _print_repair(repair: RepairReport, console: Console) -> None:
    for colour, verb, rows in (("green", "repaired", repair.repaired), ("red", "not repaired", repair.unrepaired)):
        for each in rows:
            where = f"{each.table} {each.key} in {each.store}"
            console.print(f"[{colour}]{verb}[/] {where}: {escape(each.sentence)}", highlight=False)
    counts = ", ".join(f"{count} in {store}" for store, count in repair.repaired_count.items()) or "none"
    console.print(f"rows repaired: {counts}; not repaired: {repair.unrepaired_count}", highlight=False)


def _verdict(each: TableDay) -> str:
    if each.differences:
        return f"[red]{each.differences} differ[/red]"
    return "[yellow]behind[/yellow]" if each.behind else "[green]agree[/green]"
