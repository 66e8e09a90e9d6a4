"""`manage.py restore FILE`: the desk of an archive in an empty data folder, or on empty servers."""

from __future__ import annotations

import json
import shlex
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from paperdesk.archive.restore import restore_backup
from paperdesk.command import DeskCommand, progress


class Command(DeskCommand):
    help = "Bring the desk of an archive to an empty data folder, and to the empty servers that are named, if any are."
    data_help = "data folder to restore into, empty (PAPERDESK_DATA; default var/)"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="the archive")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        with progress("reading the archive", options["json"]) as say:
            restored = restore_backup(options["file"].resolve(), say)
        told = {
            "ok": True,
            "data": str(restored.data),
            "made_at": restored.manifest.made_at,
            "rows": sum(restored.manifest.rows.values()),
            "seconds": round(time.monotonic() - started, 3),
        }
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2))
            return
        self.stdout.write(
            f"The desk of {told['made_at']} is in {told['data']}: {told['rows']:,} versions of rows, "
            f"{told['seconds']:.1f} s. Its first syncs fill ClickHouse; start it with: "
            f"make run DATA={shlex.quote(str(restored.data))}"
        )
