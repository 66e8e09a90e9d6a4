"""`manage.py reconcile`: reconcile the trades of a period once more, by the tolerances that are in force now."""

from __future__ import annotations

import datetime
import sys
from argparse import ArgumentParser
from typing import Any

import msgspec
from django.core.management import CommandError

from paperdesk.command import DeskCommand, day, progress
from results import services

EXIT_UNREADABLE = 1


class Command(DeskCommand):
    help = "Reconcile the trades that were closed on some UTC days once more; what comes out as it was is not written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        today = datetime.datetime.now(datetime.UTC).date()
        parser.add_argument("--from", dest="first", type=day, default=today, help="first UTC day of exits (today)")
        parser.add_argument("--to", dest="last", type=day, default=today, help="last UTC day, included (today)")
        parser.add_argument("--portfolio", action="append", default=[], metavar="P", help="of these alone; default all")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last = options["first"], options["last"]
        if first > last:
            raise CommandError(f"Error: --from {first} is after --to {last}")
        with progress("reconciling", options["json"]) as say:
            report = services.trades_reconcile(
                first, last, options["portfolio"], lambda done, of: say(f"reconciling: {done:,} of {of:,} trades")
            )
        if options["json"]:
            told = {"ok": not report.unreadable, **msgspec.to_builtins(report)}
            self.stdout.write(msgspec.json.encode(told).decode())
        else:
            for each in report.unreadable:
                self.stderr.write(f"trade {each.trade_id} cannot be reconciled: {each.sentence}")
            self.stdout.write(f"{report.trades:,} closed trades, {report.changed:,} new outcomes")
        if report.unreadable:
            sys.exit(EXIT_UNREADABLE)
