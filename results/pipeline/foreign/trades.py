"""Trades and leg-outs that another program set under a portfolio's keys, judged. Source: rulings 12 and 22.

Their records are not stamped: they stay as the other program wrote them. What was read between two sweeps cannot be
seen, so a trade may skip states, but it never goes back to an earlier one.
"""

from __future__ import annotations

import msgspec
from msgspec import UnsetType

from results.domain.canonical import HASH_COLUMN, sealed
from results.domain.errors import PaperDeskError
from results.pipeline.foreign.hashes import is_uuid
from results.pipeline.foreign.verdicts import Row, accepted, aside, known, ours
from results.pipeline.limits import misfit
from results.pipeline.newest import Newest
from results.stores.schema import TABLES
from trading.domain.trades import LegOut, Trade, TradeStatus
from trading.domain.units import day_of
from trading.stores import keys
from trading.stores.rows import LEG_OUT_EVENT, PAPER_TRADE, leg_out_facts, trade_row
from trading.stores.sweep_store import Found, Verdict
from trading.stores.wire import decode_leg_out, decode_trade
from trading.stores.wire.documents import LegOutDocument
from trading.stores.wire.records import decode
from trading.stores.wire.trade import FOREIGN

UNREADABLE = (PaperDeskError, ValueError, ArithmeticError)
ORDER = {status: place for place, status in enumerate(TradeStatus)}
OWN = frozenset({"version", HASH_COLUMN, "origin", "day"})


class TradeCase(msgspec.Struct, frozen=True):
    """A trade of another program."""

    found: Found
    trade: Trade
    incomplete: str | None = None

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """Its own row."""
        return ((PAPER_TRADE, self.trade.id),)

    def verdict(self, newest: Newest) -> tuple[Verdict, Row | None]:
        """See `results.pipeline.foreign.verdicts.Case`."""
        before = newest.get(PAPER_TRADE, {}).get(self.trade.id)
        refusal = None if before is None else _trade_refusal(self.trade, before)
        try:
            row = self._row(before)
        except UNREADABLE as error:
            refusal = f"{self.found.key}: {error}"
        if refusal:
            return aside(self.found, PAPER_TRADE, refusal), None
        return _judged(self.found, PAPER_TRADE, row, before)

    def _row(self, before: Row | None) -> Row:
        trade = msgspec.structs.replace(self.trade, version=_version_after(before))
        row = trade_row(trade)
        return row if before is None else {**row, "day": before["day"]}


class LegOutCase(msgspec.Struct, frozen=True):
    """An element that another program pushed onto a portfolio's leg-out list."""

    found: Found
    trade_id: str
    symbol: str | None
    leg_out: LegOut
    incomplete: str | None = None

    @property
    def wanted(self) -> tuple[tuple[str, str], ...]:
        """Its own row, and its trade's."""
        return ((LEG_OUT_EVENT, self.trade_id), (PAPER_TRADE, self.trade_id))

    def verdict(self, newest: Newest) -> tuple[Verdict, Row | None]:
        """See `results.pipeline.foreign.verdicts.Case`."""
        before = newest.get(LEG_OUT_EVENT, {}).get(self.trade_id)
        trade = newest.get(PAPER_TRADE, {}).get(self.trade_id)
        if any(row is not None and row["origin"] != FOREIGN for row in (before, trade)):
            return aside(
                self.found, LEG_OUT_EVENT, f"trade {self.trade_id} is the engine's, and so is its leg-out"
            ), None
        symbol = self.symbol or (trade["symbol"] if trade else None)
        if symbol is None:
            return aside(
                self.found, LEG_OUT_EVENT, f"{self.found.key}: no symbol, and trade {self.trade_id} is unknown"
            ), None
        return _judged(self.found, LEG_OUT_EVENT, self._row(before, symbol), before)

    def _row(self, before: Row | None, symbol: str) -> Row:
        leg_out = self.leg_out
        return {
            "trade_id": self.trade_id,
            "portfolio": self.found.prefix,
            "symbol": symbol,
            **leg_out_facts(leg_out),
            "origin": FOREIGN,
            "version": _version_after(before),
            "day": day_of(leg_out.occurred_us) if before is None else before["day"],
        }


def judged_trade(found: Found) -> Verdict | TradeCase:
    """A verdict, where the record alone decides it, or the case."""
    try:
        trade = decode_trade(found.raw, found.key, found.prefix)
    except UNREADABLE as error:
        return aside(found, PAPER_TRADE, str(error))
    if trade.origin != FOREIGN:
        return ours(found)
    if not is_uuid(trade.id):
        return aside(found, PAPER_TRADE, f"{found.key}: id is {trade.id!r}, not a lower-case UUID")
    if trade.id != keys.id_of(found.key):
        return aside(found, PAPER_TRADE, f"{found.key}: id is {trade.id!r}, not that of the key")
    return TradeCase(found, msgspec.structs.replace(trade, portfolio=found.prefix))


def judged_leg_out(found: Found) -> Verdict | LegOutCase:
    """A verdict, where the element alone decides it, or the case."""
    try:
        trade_id, leg_out = decode_leg_out(found.raw, found.key)
        symbol = decode(LegOutDocument, found.raw, found.key).symbol
    except UNREADABLE as error:
        return aside(found, LEG_OUT_EVENT, str(error))
    if trade_id is None or not is_uuid(trade_id):
        return aside(found, LEG_OUT_EVENT, f"{found.key}: trade_id is {trade_id!r}, not a lower-case UUID")
    return LegOutCase(found, trade_id, None if isinstance(symbol, UnsetType) else symbol, leg_out)


def _judged(found: Found, table: str, row: Row, before: Row | None) -> tuple[Verdict, Row | None]:
    if before is not None and all(before[name] == value for name, value in row.items() if name not in OWN):
        return known(found, table, before, {}), None
    reason = misfit(TABLES[table], row)
    if reason:
        return aside(found, table, reason), None
    row = sealed(TABLES[table].columns, row)
    return accepted(found, TABLES[table], row, {}), row


def _version_after(before: Row | None) -> int:
    return 1 if before is None else int(before["version"]) + 1


def _trade_refusal(trade: Trade, before: Row) -> str | None:
    if before["origin"] != FOREIGN:
        return f"trade {trade.id} is the engine's, another program has set it anew"
    if before["portfolio"] != trade.portfolio:
        return f"trade {trade.id} is one of portfolio {before['portfolio']}"
    status = TradeStatus(before["status"])
    if ORDER[trade.status] < ORDER[status]:
        return f"trade {trade.id} is {status}, it cannot become {trade.status}"
    return None
