"""`manage.py warehouse migrate|status|compact`: DuckDB's and ClickHouse's tables, made and compared by the models'
schema; superseded versions removed from DuckDB.

The two stores are told of separately: when ClickHouse is away, DuckDB is still migrated, and the exit status says 1.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings

from paperdesk.command import DeskCommand, progress
from results import services
from results.domain.errors import PaperDeskError
from results.stores import duck, duck_plan
from results.stores.changes import Plan
from results.stores.clickhouse import ClickHouse
from results.stores.failures import ClickHouseAway
from results.stores.gate import Gate

MIGRATE = "migrate"
STATUS = "status"
COMPACT = "compact"
UP_TO_DATE = "up to date"
EXIT_NOT_WELL = 1

Report = dict[str, Any]


class Command(DeskCommand):
    help = (
        "Make or compare the tables of DuckDB and ClickHouse (additions only; anything else is refused), or remove "
        "superseded versions from DuckDB that every store has."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=(MIGRATE, STATUS, COMPACT))
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument("--dry-run", action="store_true", help="migrate: print the plan and change nothing")
        parser.add_argument("--brief", action="store_true", help="one line for each store that lacks something")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["action"] == COMPACT:
            self._compact(options["json"])
            return
        changing = options["action"] == MIGRATE and not options["dry_run"]
        teller = Teller(_silent if options["json"] else self._say, options["brief"])
        reports = {
            "duckdb": self._attempt(lambda: _duckdb(settings.DUCKDB_PATH, changing, teller)),
            "clickhouse": self._attempt(lambda: _clickhouse(settings.CLICKHOUSE_URL, changing, teller)),
        }
        planned = options["dry_run"] and options["action"] == MIGRATE
        well = all(_is_well(report, planned) for report in reports.values())
        if options["json"]:
            self.stdout.write(json.dumps({"ok": well, **reports}, indent=2))
        if not well:
            sys.exit(EXIT_NOT_WELL)

    def _compact(self, as_json: bool) -> None:
        with progress("looking for superseded versions", as_json) as say:
            done = services.log_compact(on_slice=lambda table, _count: say(f"compacting {table}"))
        if as_json:
            self.stdout.write(msgspec.json.encode({"ok": done.is_complete, **msgspec.to_builtins(done)}).decode())
            return
        for table, count in done.removed.items():
            self._say(f"{table}: {count} superseded versions removed")
        size = f"{done.bytes_after / 1e6:.1f} MB, before {done.bytes_before / 1e6:.1f} MB"
        self._say(f"DuckDB: {sum(done.removed.values())} removed in {done.seconds:.1f} s; the file has {size}")

    def _attempt(self, work: Callable[[], Report]) -> Report:
        """The report of one store; what went wrong there is said at once, and the other store has its turn."""
        try:
            return work()
        except PaperDeskError as error:
            self.stderr.write(f"not done: {error}")
            return {"error": str(error), "retryable": error.retryable}

    def _say(self, line: str) -> None:
        self.stdout.write(line)


@dataclass(frozen=True)
class Teller:
    """Tells plans and positions, line by line; a brief one only counts what a plan adds."""

    say: Callable[[str], None]
    brief: bool

    def tell_plan(self, store: str, plan: Plan) -> None:
        """What the store lacks."""
        if not self.brief:
            for line in plan.lines or [f"{store}: {UP_TO_DATE}"]:
                self.say(line)
        elif plan.changes:
            self.say(f"{store}: {plan.counted}")

    def tell(self, line: str) -> None:
        """How far a store is."""
        if not self.brief:
            self.say(line)


def _silent(_line: str) -> None:
    """Nothing but the JSON object is printed."""


def _is_well(report: Report, planned: bool) -> bool:
    """A dry run is well when there is a plan; otherwise nothing may be left to do."""
    if "error" in report or report["refused"]:
        return False
    return planned or not report["pending"]


def _duckdb(path: Path, changing: bool, teller: Teller) -> Report:
    gate = Gate(path)
    report: Report = {"path": str(path)}
    if changing:
        with gate.write() as connection:
            report |= _applied("DuckDB", duck_plan.plan(connection), lambda: duck.migrate(connection), teller)
        return report
    if not path.exists():
        return report | _planned("DuckDB", duck_plan.plan_of({}), teller)
    with gate.read() as connection:
        report |= _planned("DuckDB", duck_plan.plan(connection), teller)
        if not report["pending"]:
            mark = duck.watermark(connection)
            report |= {"seq": mark.seq, "stream_id": mark.stream_id, "moved_at_us": mark.at_us}
            teller.tell(f"DuckDB: {mark.seq} entries, up to {mark.stream_id or 'nothing yet'}")
    return report


def _clickhouse(url: str, changing: bool, teller: Teller) -> Report:
    if not url:
        raise ClickHouseAway("ClickHouse: CLICKHOUSE_URL is not set and no desk is running")
    store = ClickHouse(url, settings.CLICKHOUSE_CLUSTER)
    try:
        report: Report = {"address": f"{store.address.host}:{store.address.port}/{store.address.database}"}
        report["version"] = store.version()
        if changing:
            return report | _applied("ClickHouse", store.plan(), store.migrate, teller)
        report |= _planned("ClickHouse", store.plan(), teller)
        if not report["pending"]:
            confirmed = max((mark.seq for mark in store.marks()), default=0)
            report["seq"] = confirmed
            teller.tell(f"ClickHouse: {confirmed} entries confirmed")
        return report
    finally:
        store.close()


def _planned(store: str, plan: Plan, teller: Teller) -> Report:
    teller.tell_plan(store, plan)
    return {"pending": [change.summary for change in plan.changes], "refused": list(plan.refusals)}


def _applied(store: str, plan: Plan, migrate: Callable[[], list[str]], teller: Teller) -> Report:
    report = _planned(store, plan, teller)
    plan.check()
    return {"done": migrate(), **report, "pending": []}
