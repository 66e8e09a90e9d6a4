"""Prints the page docs/settings.md: every setting with its meaning, unit, range and default."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from paperdesk.command import DeskCommand
from trading.settings_guide import as_json, guide


class Command(DeskCommand):
    help = "Print docs/settings.md: every setting with its meaning, unit, range and default."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["json"]:
            self.stdout.write(json.dumps(as_json(), indent=2))
        else:
            self.stdout.write(guide(), ending="")
