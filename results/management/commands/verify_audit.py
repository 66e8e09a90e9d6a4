"""`manage.py verify_audit`: whether the audit trail is what was written, and where it is not."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

import msgspec

from paperdesk.command import DeskCommand, progress
from results import services
from results.domain.audit import entries_told

EXIT_BROKEN = 1


class Command(DeskCommand):
    help = "Recompute the chain of the audit trail from its first entry; exit status 1 names the first broken entry."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("verifying the audit trail", options["json"]) as say:
            report = services.audit_trail_verify(
                lambda done, of: say(f"verifying the audit trail: {done:,} of {of:,} entries")
            )
        if options["json"]:
            told = {"ok": report.broken is None, "sentence": report.sentence, **msgspec.to_builtins(report)}
            self.stdout.write(msgspec.json.encode(told).decode())
        elif report.broken:
            self.stderr.write(f"the audit trail is broken at entry {report.broken.number}: {report.sentence}")
        else:
            entries = entries_told(report.entries)
            self.stdout.write(f"the audit trail is whole: {entries}, chain {report.chain or 'empty'}")
        if report.broken:
            sys.exit(EXIT_BROKEN)
