"""`manage.py export TABLE --out FILE`: the newest version of each row of a durable table and period, as a file."""

from __future__ import annotations

import datetime
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import msgspec
from django.core.management import CommandError

from paperdesk.command import DeskCommand, day, progress
from results import services
from results.stores.schema import TABLES
from results.stores.table_files import FORMATS, PARQUET


class Command(DeskCommand):
    help = "Write the newest version of each row of a durable table and period as Parquet or CSV."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("table", metavar="TABLE", choices=sorted(TABLES), help=", ".join(sorted(TABLES)))
        parser.add_argument("--from", dest="first", type=day, default=datetime.date.min, help="first UTC day of rows")
        parser.add_argument("--to", dest="last", type=day, default=datetime.date.max, help="last UTC day, included")
        parser.add_argument("--format", choices=FORMATS, default=PARQUET, help="default %(default)s")
        parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="must not be there yet")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        first, last, target = options["first"], options["last"], options["out"].resolve()
        if first > last:
            raise CommandError(f"Error: --from {first} is after --to {last}")
        with progress(f"exporting {options['table']}", options["json"]) as say:
            done = services.table_export(
                options["table"],
                (first, last),
                options["format"],
                target,
                lambda rows, of: say(f"exporting {options['table']}: {rows:,} rows of {of:,} versions"),
            )
        told = {"ok": True, "file": str(target), "bytes": target.stat().st_size, **msgspec.to_builtins(done)}
        if options["json"]:
            self.stdout.write(msgspec.json.encode(told).decode())
            return
        period = f", first seen from {done.first_day} to {done.last_day}" if done.rows else ""
        self.stdout.write(f"{target}: {done.rows:,} rows of {options['table']}{period}, {told['bytes']:,} bytes")
