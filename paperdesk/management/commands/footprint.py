"""`manage.py footprint`: memory and processor share of each process of the running desk."""

import contextlib
import json
import time
from argparse import ArgumentParser
from typing import Any

import psutil
from django.conf import settings
from rich.console import Console
from rich.table import Table

from paperdesk.command import DeskCommand, progress, seconds
from paperdesk.embedded.desk_file import Desk, running_desk
from paperdesk.errors import CommandFailed

MEGABYTE = 1_000_000
MEMORY_MB_MAX = 1500.0
CORES_MAX = 0.5
DEFAULT_SECONDS = 20.0


class Command(DeskCommand):
    help = f"Measure the running desk; status 1 over {MEMORY_MB_MAX:.0f} MB or {CORES_MAX} cores."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--seconds", type=seconds, default=DEFAULT_SECONDS, help="how long (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        desk = running_desk(settings.DATA)
        if desk is None:
            raise CommandFailed(f"no desk runs on {settings.DATA}")
        with progress(f"measuring for {options['seconds']:g} s", options["json"]):
            rows = measure(desk, options["seconds"])
        total = {name: round(sum(row[name] for row in rows), 3) for name in ("rss_mb", "pss_mb", "cores")}
        ok = total["pss_mb"] <= MEMORY_MB_MAX and total["cores"] <= CORES_MAX
        if options["json"]:
            self.stdout.write(json.dumps({"processes": rows, "total": total, "ok": ok}, indent=2))
        else:
            self._print(rows, total)
        if not ok:
            raise CommandFailed(
                f"{total['pss_mb']:.0f} MB and {total['cores']:.2f} cores; "
                f"allowed are {MEMORY_MB_MAX:.0f} MB and {CORES_MAX} cores"
            )

    def _print(self, rows: list[dict[str, Any]], total: dict[str, float]) -> None:
        table = Table("process", "pid", "RSS MB", "PSS MB", "cores", box=None)
        for row in [*rows, {"process": "total", "pid": "", **total}]:
            figures = (f"{row['rss_mb']:.0f}", f"{row['pss_mb']:.0f}", f"{row['cores']:.3f}")
            table.add_row(row["process"], str(row["pid"]), *figures)
        Console(file=self.stdout._out).print(table)


def measure(desk: Desk, during_seconds: float) -> list[dict[str, Any]]:
    """Return per process of `desk`, its children included: RSS and PSS in MB, and cores used in that time.

    PSS counts a page that processes share once over all of them, so that its sum is what the desk really takes.
    """
    before = {name: _cpu_seconds(members) for name, members in _families(desk).items()}
    began = time.monotonic()
    time.sleep(during_seconds)
    elapsed = time.monotonic() - began
    rows = []
    for name, members in _families(desk).items():
        memory = [process.memory_full_info() for process in members]
        rows.append(
            {
                "process": name,
                "pid": members[0].pid,
                "rss_mb": round(sum(part.rss for part in memory) / MEGABYTE, 1),
                "pss_mb": round(sum(getattr(part, "pss", part.rss) for part in memory) / MEGABYTE, 1),
                "cores": round(max(0.0, _cpu_seconds(members) - before.get(name, 0.0)) / elapsed, 4),
            }
        )
    return rows


def _families(desk: Desk) -> dict[str, list[psutil.Process]]:
    """The desk alone, and each of its programs that lives with the program's own children."""
    families = {"desk": [psutil.Process(desk.pid)]}
    for name, pid in desk.pids.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            program = psutil.Process(pid)
            families[name] = [program, *program.children(recursive=True)]
    return families


def _cpu_seconds(members: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in members)
