"""Databases with many results and what belongs to them, made inside the database: one INSERT ... SELECT for each table.

Results, metrics and fills are four to a trade; one trade in 50 was legged out, one in 25 failed its reconciliation and
has breaks, a case and a proposal. Row `i` of a table is row `k` of trade `t`, the same on every database, spread evenly
over the 90 days up to now. There are values that are common, values of some fifty trades, venues at which a common
symbol was never traded, and a portfolio whose trades are all old.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.management import call_command
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from bench.many_values import BORN, LEG, MADE, PER_TRADE, TEXTS, TRADE, UNDECIDED, Made
from paperdesk.mirror import ExactDecimalField, sortable_text
from results.domain.units import us_of_datetime

SPAN_US = 90 * 86_400 * 1_000_000
FEW = 50  # trades that have a rare value
ROWS_PER_STATEMENT = 1_000_000
SCATTER = 2_654_435_761  # odd: numbers times this, modulo 2^32, come in no order, and none comes twice
TAGS = {"trade": 1, "result": 2, "order": 3}
BUILDING = {
    "sqlite": ("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "PRAGMA cache_size=-2000000"),
    "postgresql": ("SET synchronous_commit = off", "SET maintenance_work_mem = '512MB'"),
}
BUILT = {"sqlite": ("PRAGMA journal_mode=WAL",), "postgresql": ("VACUUM ANALYZE", "CHECKPOINT")}
SERIES = {
    "sqlite": "WITH RECURSIVE numbers(i) AS (VALUES({first}) UNION ALL SELECT i + 1 FROM numbers WHERE i < {last}) ",
    "postgresql": "WITH numbers(i) AS (SELECT generate_series({first}::bigint, {last})) ",
}
INSERT = (
    "INSERT INTO {table} ({names}) {series}"
    "SELECT {values} FROM (SELECT i, (i / {per}) * {every} AS t, i % {per} AS k FROM numbers) AS made"
)


def made_id(tag: str, number: int) -> uuid.UUID:
    """The id of a made trade, result or order."""
    which = TAGS[tag]
    return uuid.UUID(f"{number * SCATTER & 0xFFFFFFFF:08x}{which:08x}{number:08x}{which:08x}")


class ManyRows:
    """Makes the rows of `count` results in the empty database `alias`."""

    def __init__(self, alias: str, count: int) -> None:
        self._connection: BaseDatabaseWrapper = connections[alias]
        self._alias, self._vendor = alias, self._connection.vendor
        self._trades = count // PER_TRADE
        self._end_us = us_of_datetime(timezone.now())
        self._counts = {"rare": max(20, self._trades // FEW), "trades": self._trades}

    def make(self) -> None:
        """Migrates, fills every table, then makes its indexes. A table that has its rows is left as it is."""
        call_command("migrate", database=self._alias, verbosity=0)
        self._run(BUILDING[self._vendor])
        for made in MADE:
            if self._trades < made.every or made.model._default_manager.using(self._alias).exists():
                continue
            with self._connection.schema_editor(atomic=False) as editor:
                for index in made.model._meta.indexes:
                    editor.remove_index(made.model, index)
            self._fill(made)
            with self._connection.schema_editor(atomic=False) as editor:
                for index in made.model._meta.indexes:
                    editor.add_index(made.model, index)
        self._run(BUILT[self._vendor])
        self._connection.close()

    def _run(self, statements: tuple[str, ...]) -> None:
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def _fill(self, made: Made) -> None:
        values = {field.column: self._value(made, field) for field in made.model._meta.local_fields}
        rows = self._trades // made.every * made.per
        quote = self._connection.ops.quote_name
        if self._vendor == "postgresql":
            self._run((f"ALTER TABLE {quote(made.model._meta.db_table)} SET UNLOGGED",))
        for first in range(0, rows, ROWS_PER_STATEMENT):
            last = min(first + ROWS_PER_STATEMENT, rows) - 1
            statement = INSERT.format(
                table=quote(made.model._meta.db_table),
                names=", ".join(map(quote, values)),
                series=SERIES[self._vendor].format(first=first, last=last),
                values=", ".join(values.values()),
                per=made.per,
                every=made.every,
            )
            self._run((statement,))

    def _value(self, made: Made, field: models.Field[Any, Any]) -> str:
        """What a column holds, as SQL over i, t and k."""
        told: Mapping[str, str] = {**TRADE, **LEG, **TEXTS, **(BORN if made.is_born else {}), **made.columns}
        us = f"{self._end_us - SPAN_US} + t * {SPAN_US // self._trades} + k * 1000 + 1"
        number = "i" if made.per == PER_TRADE else f"(t * {PER_TRADE} + k)"
        match field:
            case _ if field.name in made.columns:
                return made.columns[field.name].format(**self._counts)
            case models.UUIDField():
                return self._uuid(field, number)
            case models.BooleanField():
                return "FALSE"
            case ExactDecimalField():
                return f"'{sortable_text(Decimal('1.25'))}'" if self._vendor == "sqlite" else "1.25"
            case models.DateTimeField():
                if field.name == "decided_at":
                    return f"CASE WHEN {UNDECIDED} THEN NULL ELSE {self._time(us)} END"
                return self._time(us)
            case models.DateField():
                return self._day(us)
            case models.IntegerField():
                return "i + 1" if field.primary_key else "7"
            case _ if field.name == "order_id":
                return self._hex("order", number)
            case _ if field.primary_key:
                return self._text("i")
            case _:
                return told.get(field.name, "''" if not field.null else "NULL").format(**self._counts)

    def _uuid(self, field: models.Field[Any, Any], number: str) -> str:
        if field.name == "trade_id" or field.model._meta.db_table == "paper_trade":
            found = self._hex("trade", "t")
        else:
            found = self._hex("result", number)
        return found if self._vendor == "sqlite" else f"({found})::uuid"

    def _hex(self, tag: str, number: str) -> str:
        which, scattered = TAGS[tag], f"({number} * {SCATTER}) & 4294967295"
        if self._vendor == "sqlite":
            return f"printf('%08x%08x%08x%08x', {scattered}, {which}, {number}, {which})"
        parts = (scattered, str(which), number, str(which))
        return " || ".join(f"lpad(to_hex(({part})::bigint), 8, '0')" for part in parts)

    def _time(self, us: str) -> str:
        if self._vendor == "sqlite":
            seconds = f"strftime('%Y-%m-%d %H:%M:%S', ({us}) / 1000000, 'unixepoch')"
            return f"{seconds} || printf('.%06d', ({us}) % 1000000)"
        return f"timestamptz 'epoch' + ({us}) * interval '1 microsecond'"

    def _day(self, us: str) -> str:
        if self._vendor == "sqlite":
            return f"date(({us}) / 1000000, 'unixepoch')"
        return f"date 'epoch' + ((({us}) / 86400000000)::int)"

    def _text(self, number: str) -> str:
        return f"printf('made-%d', {number})" if self._vendor == "sqlite" else f"'made-' || ({number})"
