"""Open trades that are kept between looks: what is read again, and when, on a real Redis."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
import pytest

from tests.trading.stores import made
from trading.domain.orders import Leg, Side
from trading.domain.trades import Trade
from trading.stores import keys, open_trades, rows
from trading.stores.errors import RedisAway
from trading.stores.keys import PortfolioKeys
from trading.stores.open_trades import SLICES, OpenTrades
from trading.stores.wire import encode_trade

OF = PortfolioKeys("strategy")
TRADES = 40
SLICE = 4


@pytest.fixture
def kept(redis_client: Any, monkeypatch: pytest.MonkeyPatch) -> OpenTrades:
    """Forty active trades, looked at once; a look reads four of them again, and the outbox at most three entries."""
    monkeypatch.setattr(open_trades, "SLICE_MIN", SLICE)
    monkeypatch.setattr(open_trades, "ENTRIES_MAX", 3)
    for number in range(TRADES):
        put(redis_client, active(number))
    found = OpenTrades(redis_client, OF)
    assert len(found.look()) == TRADES
    return found


def active(number: int, **changes: Any) -> Trade:
    trade = made.active_trade()
    return msgspec.structs.replace(
        trade, id=str(uuid.UUID(int=number)), entry_us=made.NOON_US + 1_000 - number, **changes
    )


def put(client: Any, trade: Trade) -> None:
    client.set(OF.active_trade(trade.id), encode_trade(trade))
    client.sadd(OF.active_trades, trade.id)


def tell(client: Any, trade: Trade, portfolio: str = "strategy") -> None:
    row = msgspec.structs.replace(trade, portfolio=portfolio)
    client.xadd(keys.OUTBOX, made.OUTBOX.entry(rows.PAPER_TRADE, rows.trade_row(row)))


def shown(found: OpenTrades, trade: Trade) -> Trade | None:
    return next((each for each in found.look() if each.id == trade.id), None)


def test_trades_are_oldest_first_and_the_same_tuple_while_nothing_changes(kept: OpenTrades) -> None:
    first = kept.look()
    assert [trade.entry_us for trade in first] == sorted(trade.entry_us for trade in first)
    assert kept.look() is first


def test_a_change_that_the_outbox_tells_is_seen_at_the_next_look(kept: OpenTrades, redis_client: Any) -> None:
    for number in (0, 39):
        changed = active(number, version=7)
        put(redis_client, changed)
        tell(redis_client, changed)
        assert shown(kept, changed) == changed


def test_an_open_and_a_close_at_once_are_seen_though_as_many_are_open(kept: OpenTrades, redis_client: Any) -> None:
    closed, opened = active(20), active(99)
    redis_client.srem(OF.active_trades, closed.id)
    redis_client.delete(OF.active_trade(closed.id))
    put(redis_client, opened)
    tell(redis_client, closed)
    tell(redis_client, opened)
    found = kept.look()
    assert len(found) == TRADES and opened in found and closed not in found and not kept.unreadable


def test_a_trade_of_another_program_is_seen_at_once_because_the_number_differs(
    kept: OpenTrades, redis_client: Any
) -> None:
    put(redis_client, active(99))
    assert shown(kept, active(99)) == active(99)
    redis_client.srem(OF.active_trades, active(3).id)
    assert shown(kept, active(3)) is None


def test_a_silent_change_is_seen_within_one_round_of_slices(kept: OpenTrades, redis_client: Any) -> None:
    for number in range(TRADES):
        put(redis_client, active(number, version=7))
    versions = [sum(trade.version == 7 for trade in kept.look()) for _ in range(TRADES // SLICE)]
    assert versions == [SLICE * (look + 1) for look in range(TRADES // SLICE)]


def test_a_silent_exchange_of_two_trades_is_seen_within_thirty_looks(kept: OpenTrades, redis_client: Any) -> None:
    redis_client.srem(OF.active_trades, active(3).id)
    put(redis_client, active(99))
    seen = [active(99) in kept.look() for _ in range(SLICES)]
    assert seen[-1] and shown(kept, active(3)) is None


def test_a_waiting_order_is_read_at_every_look_because_its_queue_moves(kept: OpenTrades, redis_client: Any) -> None:
    waiting = made.pending_trade(str(uuid.UUID(int=99)))
    put(redis_client, waiting)
    tell(redis_client, waiting)
    assert shown(kept, waiting) == waiting
    for volume in range(1, 30):
        order = made.order(Leg.LONG, Side.BUY)
        assert order.queue is not None
        queue = msgspec.structs.replace(order.queue, cumulative_volume=made.D(volume))
        moved = waiting.with_order(msgspec.structs.replace(waiting.long_order, queue=queue))
        put(redis_client, moved)
        assert shown(kept, moved) == moved


def test_who_is_too_far_behind_the_outbox_reads_everything(kept: OpenTrades, redis_client: Any) -> None:
    for number in range(TRADES):
        put(redis_client, active(number, version=7))
    for _ in range(3):
        tell(redis_client, active(0))
    assert {trade.version for trade in kept.look()} == {7}


def test_rows_of_other_portfolios_and_tables_are_nothing_to_us(kept: OpenTrades, redis_client: Any) -> None:
    first = kept.look()
    tell(redis_client, active(99), portfolio="another")
    redis_client.xadd(keys.OUTBOX, {"table": "trade_result", "id": "x", "version": "1", "row": "{}"})
    assert kept.look() is first


@pytest.mark.parametrize(
    "fields",
    [
        {"nothing": "of ours"},
        {"table": rows.PAPER_TRADE},
        {"table": b"\xff"},
        {"table": rows.PAPER_TRADE, "row": b"\xff"},
        {"table": rows.PAPER_TRADE, "row": "{}"},
        {"table": rows.PAPER_TRADE, "row": '{"id": 7, "portfolio": "strategy"}'},
    ],
)
def test_an_entry_that_is_no_row_hides_none_of_those_beside_it(
    fields: dict[str, Any], kept: OpenTrades, redis_client: Any
) -> None:
    changed = active(5, version=7)
    put(redis_client, changed)
    redis_client.xadd(keys.OUTBOX, fields)
    tell(redis_client, changed)
    assert shown(kept, changed) == changed


def test_an_unreadable_record_is_read_again_until_it_can_be_read(kept: OpenTrades, redis_client: Any) -> None:
    broken = active(39)
    redis_client.set(OF.active_trade(broken.id), "{}")
    tell(redis_client, broken)
    assert shown(kept, broken) is None and list(kept.unreadable) == [OF.active_trade(broken.id)]
    kept.look()
    put(redis_client, broken)
    assert shown(kept, broken) == broken and not kept.unreadable


def test_a_record_under_the_wrong_key_is_not_taken_for_the_trade_of_that_key(
    kept: OpenTrades, redis_client: Any
) -> None:
    redis_client.set(OF.active_trade("stray"), encode_trade(active(3)))
    redis_client.sadd(OF.active_trades, "stray")
    assert len(kept.look()) == TRADES
    assert "not that of the key" in str(kept.unreadable[OF.active_trade("stray")])


def test_a_redis_that_lost_its_stream_does_not_deafen_the_follower(kept: OpenTrades, redis_client: Any) -> None:
    redis_client.delete(keys.OUTBOX)
    kept.look()
    changed = active(39, version=7)
    put(redis_client, changed)
    tell(redis_client, changed)
    assert shown(kept, changed) == changed


def test_a_look_that_broke_off_is_made_up_for_by_the_next(
    kept: OpenTrades, redis_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, closed, opened = active(39, version=7), active(20), active(99)
    redis_client.srem(OF.active_trades, closed.id)
    put(redis_client, changed)
    put(redis_client, opened)
    for trade in (changed, closed):
        tell(redis_client, trade)

    def away(*_: Any) -> None:
        raise RedisAway("away")

    with monkeypatch.context() as broken:
        broken.setattr(open_trades, "raws_of", away)
        with pytest.raises(RedisAway):
            kept.look()
    found = kept.look()
    assert changed in found and opened in found and closed not in found and len(found) == TRADES
