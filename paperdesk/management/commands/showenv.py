"""`manage.py showenv`: where everything is, and what decided it."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from rich.console import Console
from rich.table import Table

from paperdesk import environment

NOT_RUNNING = "(no desk runs)"


class Command(BaseCommand):
    help = "Show the addresses that this shell would use, and how each was decided."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--data", metavar="DIR", help="data folder (PAPERDESK_DATA; default var/)")
        parser.add_argument("--json", action="store_true", help="usable values, passwords included")

    def handle(self, *args: Any, **options: Any) -> None:
        decisions = environment.decisions()
        if options["json"]:
            self.stdout.write(json.dumps(as_json(decisions), indent=2))
            return
        table = Table("setting", "value", "decided by", box=None)
        for name, decision in decisions.items():
            table.add_row(name, environment.masked(decision.value) or NOT_RUNNING, decision.decided_by)
        Console(file=self.stdout._out, soft_wrap=True).print(table)


def as_json(decisions: dict[str, environment.Decision]) -> dict[str, Any]:
    """Return the values by name, null where nothing runs, and under `decided_by` what decided each."""
    values: dict[str, Any] = {name: decision.value or None for name, decision in decisions.items()}
    return {**values, "decided_by": {name: decision.decided_by for name, decision in decisions.items()}}
