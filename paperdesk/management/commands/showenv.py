"""`manage.py showenv`: where everything is, and what decided it."""

import json
from argparse import ArgumentParser
from typing import Any

from paperdesk import environment
from paperdesk.checks import fsync_sentence
from paperdesk.command import DeskCommand

NOT_RUNNING = "(no desk runs)"


class Command(DeskCommand):
    help = "Show the addresses that this shell would use, and how each was decided."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="usable values, passwords included")

    def handle(self, *args: Any, **options: Any) -> None:
        decisions = environment.decisions()
        if options["json"]:
            self.stdout.write(json.dumps(as_json(decisions) | {"redis_fsync": fsync(decisions)}, indent=2))
            return
        shown = {name: environment.masked(decision.value) or NOT_RUNNING for name, decision in decisions.items()}
        for name, decision in decisions.items():  # no table: it would shorten addresses to the terminal's width
            self.stdout.write(f"{name:<14}  {shown[name]}  ({decision.decided_by})")
        self.stdout.write(f"{'redis_fsync':<14}  {fsync(decisions) or NOT_RUNNING}")


def fsync(decisions: dict[str, environment.Decision]) -> str | None:
    """How soon the Redis writes to its disk, in a sentence; None where no Redis is known."""
    url = decisions["redis_url"].value
    return fsync_sentence(url) if url else None


def as_json(decisions: dict[str, environment.Decision]) -> dict[str, Any]:
    """Return the values by name, null where nothing runs, and under `decided_by` what decided each."""
    values: dict[str, Any] = {name: decision.value or None for name, decision in decisions.items()}
    return {**values, "decided_by": {name: decision.decided_by for name, decision in decisions.items()}}
