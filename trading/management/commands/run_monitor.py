"""`manage.py run_monitor`: the monitor as a process of its own, for a desk without Celery."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser
from typing import Any

import structlog

from paperdesk.command import DeskCommand
from paperdesk.stopping import StopRequest
from trading import wiring
from trading.engine.monitor import Tick
from trading.stores.errors import StoreError

TICK_SECONDS = 1.0
EXIT_NO_TICK = 1
log = structlog.get_logger(__name__)


class Command(DeskCommand):
    help = "Mark open trades, decide exits and publish metrics once a second, until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="one tick, then end")
        parser.add_argument("--json", action="store_true", help="one JSON object a tick")

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = StopRequest().on_signals()
        watch = wiring.watch()
        try:
            if options["once"]:
                if not self.show(watch.turn(), options["json"]):
                    sys.exit(EXIT_NO_TICK)
                return
            while not stopped.is_set():
                self.turn(options["json"])
                stopped.wait(TICK_SECONDS - time.time() % TICK_SECONDS)
        finally:
            watch.release()

    def turn(self, as_json: bool) -> None:
        """One tick; a store that is away now is tried again at the next."""
        try:
            self.show(wiring.watch().turn(), as_json)
        except StoreError as error:
            if not error.retryable:
                raise
            log.warning("monitor_waits", error=str(error))

    def show(self, tick: Tick | None, as_json: bool) -> bool:
        """Prints what the tick found, one line for each portfolio. Whether there was one."""
        if tick is None:
            self.stderr.write("no tick: no engine has started, or another monitor is at work")
            return False
        lines: list[dict[str, Any]] = [
            {
                "prefix": one.strategy.prefix,
                "open_trades": len(one.reading.trades),
                "unrealised_usd": None if one.findings.unrealised_usd is None else str(one.findings.unrealised_usd),
                "cumulative_pnl": str(one.findings.metrics.cumulative_pnl),
                "exits": [list(each) for each in one.exits],
            }
            for one in tick.portfolios
        ]
        if as_json:
            found = {"at_us": tick.at_us, "duration_ms": round(tick.duration_ms, 3), "portfolios": lines}
            self.stdout.write(json.dumps(found))
            return True
        for line in lines:
            unrealised = "unknown" if line["unrealised_usd"] is None else f"{line['unrealised_usd']} USD"
            self.stdout.write(
                f"{line['prefix']}: {line['open_trades']} open trades, unrealised {unrealised}, "
                f"realised {line['cumulative_pnl']} USD, {len(line['exits'])} exits asked for"
            )
        return True
