"""Outbox entries: canonical rows as text, sealed with their hash."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given

from results.domain.canonical import Column, RowMismatch, Sealer, row_hash, sealed
from tests.trading.stores import made
from trading.domain.trades import Trade
from trading.stores import rows
from trading.stores.outbox import UnknownTable, row_of_text, row_text

ROW = (
    Column("id", "text"),
    Column("price", "decimal"),
    Column("note", "text", nullable=True),
    Column("day", "date"),
    Column("row_hash", "integer"),
    Column("open", "boolean"),
    Column("late", "integer", nullable=True, added=True),
)


@given(made.trades)
def test_any_row_survives_its_entry_with_the_same_hash(trade: Trade) -> None:
    table = made.OUTBOX.table("paper_trade")
    entry = made.OUTBOX.entry("paper_trade", rows.trade_row(trade))
    row = row_of_text(table.columns, entry["row"])
    assert row == sealed(table.columns, rows.trade_row(trade))
    assert row["row_hash"] == row_hash(table.columns, row)
    assert (entry["table"], entry["id"], entry["version"]) == ("paper_trade", trade.id, str(trade.version))
    assert row_text(row) == entry["row"]


@pytest.mark.parametrize(
    "number", ["0", "-0", "-0.00", "0E-12", "1E+3", "-0.5", "12.3400", "1.0000000000005", "-1E-13"]
)
@pytest.mark.parametrize("added", [7, None])
def test_one_pass_seals_a_row_as_its_canonical_values_do(number: str, added: int | None) -> None:
    day = datetime.date(2024, 8, 8)
    row = {"id": "a", "price": Decimal(number), "note": None, "day": day, "open": True, "late": added}
    whole = sealed(ROW, row)
    assert Sealer(ROW).sealed(row) == {**whole, "price": f"{whole['price']:f}", "day": "2024-08-08"}


def test_a_row_is_plain_json_with_decimals_as_text_and_times_as_microseconds() -> None:
    fields = json.loads(made.OUTBOX.entry("paper_trade", rows.trade_row(made.pending_trade()))["row"])
    assert fields["entry_long_price"] == "42500.50" and fields["projected_profit_usd"] == "-0.000000000001"
    assert (fields["entry_time"], fields["day"]) == (1_723_118_400_000_001, "2024-08-08")
    assert (fields["exit_time"], fields["legged_out"], fields["version"]) == (None, False, 1)
    assert list(fields) == [column.name for column in made.OUTBOX.table("paper_trade").columns]


def test_a_row_that_is_not_of_the_table_is_refused() -> None:
    row = rows.trade_row(made.pending_trade())
    with pytest.raises(UnknownTable, match="'paper_trades'.*'paper_trade'"):
        made.OUTBOX.entry("paper_trades", row)
    with pytest.raises(RowMismatch, match="unknown columns \\['note'\\]"):
        made.OUTBOX.entry("paper_trade", {**row, "note": 1})
    with pytest.raises(RowMismatch, match="no value for the columns \\['symbol'\\]"):
        made.OUTBOX.entry("paper_trade", {**row, "symbol": None})
    with pytest.raises(RowMismatch, match="missing columns \\['symbol'\\]"):
        made.OUTBOX.entry("paper_trade", {name: value for name, value in row.items() if name != "symbol"})
    with pytest.raises(RowMismatch, match="no value for the columns \\['symbol'\\]"):
        made.OUTBOX.entry("paper_trade", {**row, "symbol": None})


def test_a_foreign_trade_has_no_pnl_terms() -> None:
    trade = made.closed_trade()
    ours, foreign = rows.trade_row(trade), rows.trade_row(msgspec.structs.replace(trade, origin="foreign"))
    assert (ours["price_pnl_long_usd"], foreign["price_pnl_long_usd"]) == (Decimal("11.7306"), None)
    assert ours["residual_usd"] == 0 and foreign["residual_usd"] is None
    assert ours["day"] == datetime.date(2024, 8, 8)
