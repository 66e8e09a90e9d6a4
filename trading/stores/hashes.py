"""Result hashes (`result:{id}`, `result_metrics:{id}`, `reconciliation:{trade_id}`) <-> canonical rows <-> domain.

A hash has the documents' fields as text, ISO-8601 times with `Z`, then our columns under their own names, without
the row's key, which is in the Redis key; what is null is absent. Ours carry `version` and `row_hash`, the canonical
row's hash: a hash without one, or with another, was written or changed by another program (ruling 27).
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from results.domain.canonical import HASH_COLUMN, Column, row_hash
from results.domain.outcomes import ResultMetrics, ResultState, TradeResult
from results.domain.units import day_of, iso_of, text_of, us_of_iso
from trading.stores.errors import IncompleteHash, WireError
from trading.stores.outbox import Row, TableShape
from trading.stores.wire.records import on_wire
from trading.stores.wire.trade import FOREIGN

Fields = Mapping[bytes, bytes]
# What a hash of another program does not say. A row's day is that of its documented time.
DAY_FROM = {"trade_result": "executed_at", "result_metrics": "created_at", "trade_reconciliation": "reconciled_at"}
BOOKKEEPING = frozenset({"version", HASH_COLUMN, "origin", "day"})

WORDS = {
    "state": frozenset(ResultState),
    "direction": frozenset({"buy", "sell"}),
    "reconciliation_status": frozenset({"success", "failed"}),
}


def hash_of_row(table: TableShape, row: Row) -> dict[str, str]:
    """The fields of a sealed canonical row, whose decimals and dates may be texts already, as text."""
    texts = {}
    for column in table.columns:
        value = row[column.name]
        if value is not None:
            texts[column.name] = value if type(value) is str else _text(column.kind, value)
    del texts[table.key]
    return texts


def row_of_hash(table: TableShape, key: str, row_id: str, fields: Fields) -> Row:
    """The canonical row of a hash, without `row_hash`; unknown fields are left out, absent ones are null.

    A hash without our `version` gets version 1, the origin "foreign" and the day of its documented time.
    Raises WireError naming key, field and value; IncompleteHash, which is one, where a required field is absent.
    """
    foreign = b"version" not in fields
    defaults: dict[str, Any] = {"version": 1, "origin": FOREIGN} if foreign else {}
    row: Row = {}
    for column in table.columns:
        if column.name == HASH_COLUMN or column.name == "day":
            continue
        text = row_id.encode() if column.name == table.key else fields.get(column.name.encode())
        row[column.name] = defaults.get(column.name) if text is None else _value(column, text, key)
        if row[column.name] is None and not column.nullable:
            raise IncompleteHash(f"{key}: field {column.name} is missing")
    day = fields.get(b"day")
    row["day"] = day_of(row[DAY_FROM[table.name]]) if day is None else _value(Column("day", "date"), day, key)
    return row


def given_of_hash(table: TableShape, key: str, fields: Fields) -> Row:
    """The columns that a hash of another program gives, without our version, hash, origin and day.

    Raises WireError naming key, field and value.
    """
    given = {column: fields[column.name.encode()] for column in table.columns if column.name.encode() in fields}
    return {column.name: _value(column, raw, key) for column, raw in given.items() if column.name not in BOOKKEEPING}


def is_ours(table: TableShape, row: Row, fields: Fields) -> bool:
    """Whether the hash, whose row this is, stands as one of our writers left it."""
    return fields.get(HASH_COLUMN.encode()) == str(row_hash(table.columns, row)).encode()


def result_of_row(row: Row) -> TradeResult:
    """The domain value of a row of `trade_result`; what another program did not say is empty text or 0."""
    row = {**row, "executed_us": row["executed_at"], "state": ResultState(row["state"])}
    for name in ("portfolio", "exchange", "leg", "role", "order_id"):
        row[name] = row[name] or ""
    row["filled_quantity"] = row["lot_size"] if row["filled_quantity"] is None else row["filled_quantity"]
    return TradeResult(**{name: row[name] for name in TradeResult.__struct_fields__})


def metrics_of_row(row: Row) -> ResultMetrics:
    """The domain value of a row of `result_metrics`."""
    row = {**row, "created_us": row["created_at"], "portfolio": row["portfolio"] or ""}
    return ResultMetrics(**{name: row[name] for name in ResultMetrics.__struct_fields__})


def _text(kind: str, value: Any) -> str:
    match kind:
        case "decimal":
            return text_of(value)
        case "time":
            return iso_of(value)
        case "date":
            return str(value.isoformat())
        case _:
            return str(value)


def _value(column: Column, raw: bytes, key: str) -> Any:
    try:
        return _parsed(column, raw.decode())
    except (ValueError, InvalidOperation, OverflowError) as error:
        shown = raw[:80].decode(errors="replace")
        why = "" if isinstance(error, InvalidOperation) else f": {error}"  # its text is a list of classes
        raise WireError(f"{key}: field {column.name} is {shown!r}, not a {column.kind}{why}") from None


def _parsed(column: Column, text: str) -> Any:
    match column.kind:
        case "uuid":
            return str(uuid.UUID(text))
        case "decimal":
            return on_wire(Decimal(text.strip()), column.name)
        case "integer":
            return _integer(text)
        case "time":
            return us_of_iso(text)
        case "date":
            return datetime.date.fromisoformat(text)
        case _:
            return _word(column.name, text)


def _word(name: str, text: str) -> str:
    if name in WORDS and text not in WORDS[name]:
        raise ValueError(f"it must be one of {', '.join(sorted(WORDS[name]))}")
    return text


def _integer(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("out of range")
    return number
