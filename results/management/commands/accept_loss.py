"""`manage.py accept_loss`: what Redis lost, and going on from what it has."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import msgspec

from paperdesk.command import DeskCommand, progress
from results import services


class Command(DeskCommand):
    help = (
        "Say which portfolios open no trades because Redis lost its newest changes; with portfolios, go on from what "
        "Redis has of them: trades that the durable stores know newer get new versions there."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("portfolios", nargs="*", metavar="PORTFOLIO", help="prefixes, such as strategy")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        with progress("comparing trades", options["json"]):
            accepted = {prefix: services.loss_accept(prefix) for prefix in options["portfolios"]}
        held = services.loss_holds()
        if options["json"]:
            self.stdout.write(msgspec.json.encode({"accepted": accepted, "held": held}).decode())
            return
        for prefix, count in accepted.items():
            self.stdout.write(f"{prefix} goes on from what Redis has; {count} trades got a new version")
        for prefix, reason in held.items():
            self.stdout.write(f"{prefix} opens no trades: {reason}")
        if not held:
            self.stdout.write("no portfolio is held for a loss of Redis's history")
