"""A transition as one atomic step: every record it writes, compared with what it was computed from.

    trade, open      SET active, SADD at first sight            outbox: paper_trade
    trade, closed    SET closed, DEL active, SREM, ZADD closed_index
    leg-out          LPUSH at first sight                       leg_out_event, when it changes
    result           HSET result:, result_metrics:              trade_result, result_metrics
    funding          (the ledger is durable only)               funding_payment
    fill, shadows    HDEL witnesses (durable only)              order_fill, shadow_fill
    state            SET state, SET portfolio_metrics
Source: ruling 17, redis-schema "Access Patterns".
"""

from __future__ import annotations

from results.domain.canonical import row_hash
from results.domain.units import day_of
from trading.domain.metrics import portfolio_metrics
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade
from trading.stores import keys, rows, wire
from trading.stores.errors import WireError
from trading.stores.evidence_rows import fill_row, shadow_row
from trading.stores.floors import Floors
from trading.stores.hashes import Fields, hash_of_row, row_of_hash
from trading.stores.held import Held, HeldTrade, Surroundings
from trading.stores.keys import PortfolioKeys
from trading.stores.outbox import Outbox, Row, TableShape
from trading.stores.step import Step
from trading.stores.transition import Transition


class TransitionStep:
    """Builds the step of one transition; `held_after` is what the store holds once it was applied."""

    def __init__(self, of: PortfolioKeys, outbox: Outbox, held: Held, around: Surroundings, floors: Floors) -> None:
        self._keys = of
        self._outbox = outbox
        self._held = held
        self._around = around
        self._floors = floors
        self.held_after = Held(held.state_raw, held.state, dict(held.trades))

    def of(self, transition: Transition) -> Step:
        """The step of the transition."""
        step = Step(transition.operation_id)
        for trade in transition.trades:
            self._trade(step, trade)
            self._leg_out(step, trade)
        for result in transition.results:
            row = rows.result_row(result, day_of(result.executed_us))
            self._hash(step, rows.TRADE_RESULT, keys.result(result.result_id), row)
        for metrics in transition.metrics:
            row = rows.result_metrics_row(metrics, day_of(metrics.created_us))
            self._hash(step, rows.RESULT_METRICS, keys.result_metrics(metrics.result_id), row)
        for paid in transition.funding:
            self._emit(step, rows.FUNDING_PAYMENT, rows.funding_row(paid, self._keys.prefix))
        for fill in transition.fills:
            self._emit(step, rows.ORDER_FILL, fill_row(fill, self._keys.prefix))
        for shadow in transition.shadows:
            self._emit(step, rows.SHADOW_FILL, shadow_row(shadow, self._keys.prefix))
        if transition.shadows:
            step.hdel(keys.witnesses(self._keys.prefix), *(shadow.order_id for shadow in transition.shadows))
        if transition.state is not None:
            self._state(step, transition.state, transition.at_us)
        return step

    def _trade(self, step: Step, trade: Trade) -> None:
        held = self._held.trades.get(trade.id)
        raw_held = held.raw if held else None
        raw = wire.encode_trade(trade, raw_held)
        active = self._keys.active_trade(trade.id)
        closed = self._keys.closed_trade(trade.id)
        step.expect(active, raw_held)
        if held is None or not trade.is_open:
            step.expect(closed, None)
        if trade.is_open:
            step.set(active, raw)
            if held is None:
                step.sadd(self._keys.active_trades, trade.id)
            self.held_after.trades[trade.id] = HeldTrade(raw, trade)
        else:
            step.set(closed, raw).delete(active).srem(self._keys.active_trades, trade.id)
            step.zadd(self._keys.closed_index, trade.id, trade.exit_us or trade.entry_us)
            self.held_after.trades.pop(trade.id, None)
        step.emit(self._outbox.entry(rows.PAPER_TRADE, rows.trade_row(trade)))

    def _emit(self, step: Step, table: str, row: Row) -> None:
        step.emit(self._outbox.entry(table, self._lifted(table, row)))

    def _lifted(self, table: str, row: Row) -> Row:
        version = self._floors.above(table, row["version"])
        return row if version == row["version"] else {**row, "version": version}

    def _leg_out(self, step: Step, trade: Trade) -> None:
        held = self._held.trades.get(trade.id)
        before = held.trade.leg_out if held else None
        now = trade.leg_out
        if now is None:
            return
        if now != before:
            self._emit(step, rows.LEG_OUT_EVENT, rows.leg_out_row(trade, now))
        if before is None:
            step.lpush(self._keys.leg_out_events, wire.encode_leg_out(trade, now))

    def _hash(self, step: Step, table: str, key: str, row: Row) -> None:
        shape = self._outbox.table(table)
        fields = self._around.hashes.get(key) or {}
        successor = _successor(shape, key, row, fields)
        if successor is None:
            return
        row = self._outbox.sealed(table, self._lifted(table, successor))
        texts = hash_of_row(shape, row)
        step.expect_hash(key, fields).hset(key, texts) if fields else step.expect(key, None).hset(key, texts)
        emptied = [column.name for column in shape.columns if column.name not in texts] if fields else []
        if gone := [name for name in emptied if name.encode() in fields]:
            step.hdel(key, *gone)
        step.emit(self._outbox.entry_of_sealed(table, row))

    def _state(self, step: Step, state: PortfolioState, at_us: int) -> None:
        raw = wire.encode_state(state, self._held.state_raw)
        step.expect(self._keys.state, self._held.state_raw).set(self._keys.state, raw)
        metrics = wire.encode_metrics(portfolio_metrics(state, at_us), self._around.metrics_raw)
        step.expect(self._keys.metrics, self._around.metrics_raw).set(self._keys.metrics, metrics)
        self.held_after.state_raw, self.held_after.state = raw, state


def _successor(shape: TableShape, key: str, row: Row, fields: Fields) -> Row | None:
    """The row as the next version of what the hash holds, or None if the hash says the same already (ruling 24).

    A hash that cannot be read is replaced, and its versions go on.
    """
    try:
        before = row_of_hash(shape, key, row[shape.key], fields) if fields else None
    except WireError:
        return {**row, "version": max(row["version"], _version_in(fields) + 1)}
    if before is None:
        return row
    same = {**row, "day": before["day"], "version": before["version"]}
    if row_hash(shape.columns, same) == row_hash(shape.columns, before):
        return None
    return {**same, "version": max(row["version"], before["version"] + 1)}


def _version_in(fields: Fields) -> int:
    """The version that stands in a hash; 0 for none."""
    text = fields.get(b"version", b"")
    return int(text) if text.isdigit() else 0
