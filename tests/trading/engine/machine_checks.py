"""What must hold after every step of the state machine, whatever happened: in memory, and in Redis."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from redis import Redis

from tests.trading.engine.machine_ledger import Ledger
from tests.trading.stores import made
from trading.domain.metrics import portfolio_metrics
from trading.domain.orders import Leg
from trading.domain.portfolio import DayTally, PortfolioState
from trading.domain.trades import Trade, TradeStatus
from trading.domain.units import ZERO, day_of, round12
from trading.stores import keys, wire
from trading.stores.keys import PortfolioKeys
from trading.stores.outbox import row_of_text

# A leg-out has its trade's version, a shadow the time it was watched until; an older one of that may come again after
# a crash and is no news to anybody.
STAMPED = {"leg_out_event", "shadow_fill"}


def require_sound_state(state: PortfolioState, trades: list[Trade], ledger: Ledger) -> None:
    """The state of a portfolio follows from its trades: capital, tallies, lists. Rulings 11, 16, 18, 21."""
    still_open = [trade for trade in trades if trade.is_open]
    done = [trade for trade in trades if not trade.is_open]
    reserved = sum((trade.position_size_usd for trade in still_open), ZERO)
    nets = {trade.id: trade.actual_profit_usd or ZERO for trade in done}
    counted = [trade for trade in done if any(order.filled_quantity for order in trade.all_orders)]
    owned = state.starting_capital + (state.cumulative_pnl if state.capital_mode == "compounding" else ZERO)
    assert state.available_capital + reserved == owned, "capital is not conserved"
    assert state.total_open_positions == reserved
    assert sorted(state.active_trades) == sorted(trade.id for trade in still_open)
    assert set(state.closed_trades) <= set(nets)
    assert len(state.closed_trades) == min(len(nets), 100)
    assert state.cumulative_pnl == sum(nets.values(), ZERO)
    assert state.total_trades == len(counted)
    assert state.win_count == sum(nets[trade.id] > 0 for trade in counted)
    assert state.loss_count == sum(nets[trade.id] < 0 for trade in counted)
    leg_outs = [trade.leg_out for trade in trades if trade.leg_out is not None]
    assert state.leg_out_count == len(leg_outs)
    assert state.leg_out_total_loss == sum((each.hedge_loss or ZERO for each in leg_outs), ZERO)
    assert state.fees_paid == sum((order.fee for trade in done for order in trade.all_orders), ZERO)
    assert state.funding_received == sum((t.funding_long_usd + t.funding_short_usd for t in done), ZERO)
    require_sound_day(state.day, counted, nets)
    for trade in still_open:
        require_sound_trade(trade, ledger)


def require_sound_day(day: DayTally | None, counted: list[Trade], nets: dict[str, Decimal]) -> None:
    """The day's tally is the sum over what was closed on it."""
    if day is None:
        assert not counted
        return
    today = [trade for trade in counted if day_of(trade.exit_us or 0).isoformat() == day.date]
    assert day.trades_executed == len(today)
    assert day.pnl == sum((nets[trade.id] for trade in today), ZERO)
    assert day.duration_us == sum((trade.exit_us or 0) - trade.entry_us for trade in today)


def require_sound_trade(trade: Trade, ledger: Ledger) -> None:
    """An open trade holds what its fills say, and is in the state that they ask for."""
    sums = ledger.sums[trade.id]
    held = {leg: trade.position(leg) for leg in Leg}
    assert held == {leg: sums.positions[leg] for leg in Leg}
    funding = trade.funding_long_usd + trade.funding_short_usd
    assert abs(funding - sums.funding) <= Decimal("1E-12") * (sums.roundings + 1)
    if trade.status is TradeStatus.ACTIVE:
        assert held[Leg.LONG] == -held[Leg.SHORT] == trade.quantity > 0
        assert not any(order.is_pending for order in trade.all_orders)
    if trade.status is TradeStatus.EXITING:
        assert trade.orders
        assert trade.exit_reason


class RedisWitness:
    """Reads Redis as another program would, and the outbox from where it stopped."""

    def __init__(self, client: Redis) -> None:
        self._client: Any = client
        self._read_until = "-"
        self.versions: dict[tuple[str, str], int] = {}

    def require_sound(self, prefix: str, ledger: Ledger) -> PortfolioState:
        """State, metrics, set, keys and index tell the same as the transitions that were written."""
        of = PortfolioKeys(prefix)
        reading = self._client.pipeline(transaction=False)
        reading.get(of.state).get(of.metrics).smembers(of.active_trades)
        reading.keys(of.active_pattern).keys(of.closed_pattern).zrange(of.closed_index, 0, -1, withscores=True)
        reading.llen(of.leg_out_events)
        raw, metrics_raw, listed, active, closed, index, leg_outs = reading.execute()
        state = wire.decode_state(raw, of.state)
        trades = [trade for trade in ledger.trades.values() if trade.portfolio == prefix]
        open_ids = {trade.id for trade in trades if trade.is_open}
        done = {trade.id: float(trade.exit_us or 0) for trade in trades if not trade.is_open}
        assert {member.decode() for member in listed} == open_ids == set(state.active_trades)
        assert {keys.id_of(key.decode()) for key in active} == open_ids
        assert {keys.id_of(key.decode()) for key in closed} == set(done)
        assert {member.decode(): score for member, score in index} == done
        assert leg_outs == sum(trade.leg_out is not None for trade in trades)
        metrics = wire.decode_metrics(metrics_raw, of.metrics)
        assert metrics == portfolio_metrics(state, metrics.timestamp_us), "the metrics are not those of the state"
        self._require_records(of, open_ids, ledger)
        require_sound_state(state, trades, ledger)
        return state

    def require_outbox(self, ledger: Ledger) -> None:
        """Each version of each row came once, in order, and none is missing."""
        for entry_id, fields in self._client.xrange(keys.OUTBOX, min=self._read_until):
            self._read_until = f"({entry_id.decode()}"
            table, row_id = fields[b"table"].decode(), fields[b"id"].decode()
            row = row_of_text(made.OUTBOX.table(table).columns, fields[b"row"])
            before = self.versions.get((table, row_id), 0)
            assert row["version"] == int(fields[b"version"]), f"{table} {row_id}"
            follows = row["version"] == before + 1 or table in STAMPED
            assert follows, f"{table} {row_id}: version {row['version']} came after {before}"
            self.versions[table, row_id] = max(before, row["version"])
        told = {row_id: version for (table, row_id), version in self.versions.items() if table == "paper_trade"}
        assert told == {trade.id: trade.version for trade in ledger.trades.values()}
        results = {row_id for table, row_id in self.versions if table == "trade_result"}
        assert len(results) == len(ledger.results)
        assert sum(table == "order_fill" for table, _ in self.versions) == sum(s.fills for s in ledger.sums.values())
        assert sum(table == "funding_payment" for table, _ in self.versions) == len(ledger.paid)

    def _require_records(self, of: PortfolioKeys, open_ids: set[str], ledger: Ledger) -> None:
        for trade_id in open_ids:
            key = of.active_trade(trade_id)
            stored = wire.decode_trade(self._client.get(key), key, of.prefix)
            assert without_queues(stored) == without_queues(ledger.trades[trade_id])


def without_queues(trade: Trade) -> object:
    """What only transitions change; acceptance and queue progress come with checkpoints too."""
    figures = [(o.id, o.status, o.filled_quantity, o.cash, round12(o.fee), o.ended_us) for o in trade.all_orders]
    return trade.id, trade.version, trade.status, figures, trade.funding_long_usd, trade.funding_short_usd
