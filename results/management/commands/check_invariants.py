"""`manage.py check_invariants`: whether everything in Redis is as it must always be; exit status 1 if it is not."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from paperdesk.command import DeskCommand, progress
from results import services
from results.pipeline.invariants.check import CheckReport

EXIT_VIOLATED = 1


class Command(DeskCommand):
    help = "Check capital, trades, metrics, P&L, leg-outs, results and versions in Redis."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("checking", options["json"]):
            report = services.invariants_report()
        if options["json"]:
            told = {"ok": not report.violations, **msgspec.to_builtins(report)}
            self.stdout.write(msgspec.json.encode(told).decode())
        else:
            _print(report, Console(file=self.stdout._out, soft_wrap=True))
        if report.violations:
            sys.exit(EXIT_VIOLATED)


def _print(report: CheckReport, console: Console) -> None:
    if told := [*report.violations, *report.lost_history]:
        table = Table("rule", "key", "what is wrong", box=None)
        for violation in told:
            table.add_row(violation.rule, escape(violation.key), escape(violation.sentence))
        console.print(table)
    looked = f"{len(report.portfolios)} portfolios, {report.open_trades} open and {report.closed_trades} closed trades"
    outcome = f"[red]{len(report.violations)} violations[/red]" if report.violations else "[green]no violation[/green]"
    console.print(f"{outcome} in {looked}; {report.waiting} wait for their reconciliation", highlight=False)
