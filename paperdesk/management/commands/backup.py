"""`manage.py backup FILE`: the whole desk, running or not, as one archive. Nothing is left of one that was stopped."""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from paperdesk.archive.backup import make_backup
from paperdesk.command import DeskCommand, progress
from results import wiring


class Command(DeskCommand):
    help = "Copy the Django database, DuckDB and Redis of a running desk into one archive."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the archive, which must not be there yet")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        target, started = options["file"].resolve(), time.monotonic()
        with progress("beginning", options["json"]) as say:
            manifest = make_backup(wiring.redis_client(), wiring.gate(), target, say)
        told = {
            "ok": True,
            "file": str(target),
            "bytes": target.stat().st_size,
            "made_at": manifest.made_at,
            "rows": sum(manifest.rows.values()),
            "files": {name: each.sha256 for name, each in manifest.files.items()},
            "seconds": round(time.monotonic() - started, 3),
        }
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2))
            return
        self.stdout.write(
            f"{target}: {told['bytes']:,} bytes, {told['rows']:,} versions of rows in the log, "
            f"{len(manifest.files)} files, {told['seconds']:.1f} s\n"
            "It holds password hashes and sessions; only its owner can read it. ClickHouse is filled anew by a restore."
        )
