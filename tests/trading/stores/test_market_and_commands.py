"""Quotes and commands on a real Redis."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from trading.domain.shards import Shard
from trading.stores import keys
from trading.stores.command_store import Command, CommandStore
from trading.stores.errors import WireError
from trading.stores.market_store import FeedStatus, LastFunding, MarketQuote, MarketStore

D = Decimal
QUOTE = MarketQuote(
    bid=D("61800.20"),
    ask=D("61800.30"),
    bid_quantity=D("0.000000000001"),
    mark_price=D("61800.25"),
    funding_rate=D("-0.0001"),
    funding_interval_h=8,
    next_settlement_us=1_731_000_000_000_000,
    event_us=1_730_999_999_999_999,
)


def test_a_quote_comes_back_exactly_and_what_is_unknown_is_none(redis_client: Any) -> None:
    store = MarketStore(redis_client)
    store.publish({"binance:BTCUSDT": QUOTE, "spot:BTCUSDT": MarketQuote(state="gap")})
    assert store.quotes() == {"binance:BTCUSDT": QUOTE, "spot:BTCUSDT": MarketQuote(state="gap")}
    assert redis_client.hget(keys.market("binance:BTCUSDT"), "bid") == b"61800.20"
    assert redis_client.hget(keys.market("binance:BTCUSDT"), "ask_quantity") == b""


def test_a_side_that_vanished_does_not_stay(redis_client: Any) -> None:
    store = MarketStore(redis_client)
    store.publish({"a:B": QUOTE})
    store.publish({"a:B": MarketQuote(bid=D("1"), state="stale")})
    store.publish({})
    assert store.quotes() == {"a:B": MarketQuote(bid=D("1"), state="stale")}


def test_an_unreadable_quote_is_named(redis_client: Any) -> None:
    store = MarketStore(redis_client)
    store.publish({"a:B": QUOTE})
    redis_client.hset(keys.market("a:B"), "bid", "cheap")
    with pytest.raises(WireError, match="paperdesk:market:a:B.*cheap"):
        store.quotes()


def test_the_feed_status_of_each_shard_is_kept(redis_client: Any) -> None:
    store = MarketStore(redis_client)
    assert store.feeds() == {}
    first = FeedStatus(name="synthetic", event_us=17, rate_per_second=310.2, troubles={"strategy": "halted"})
    second = FeedStatus(name="synthetic", feed_troubles=["okx is away"])
    store.publish_feed(Shard(0, 2), second)
    store.publish_feed(Shard(0, 2), first)
    store.publish_feed(Shard(1, 2), second)
    assert store.feeds() == {Shard(0, 2): first, Shard(1, 2): second}
    redis_client.hset(keys.FEEDS, "7/2", b"{}")
    with pytest.raises(WireError, match="paperdesk:feeds: shard '7/2' is no part of a whole"):
        store.feeds()


def test_commands_are_read_in_order_until_they_are_acknowledged(redis_client: Any) -> None:
    store = CommandStore(redis_client)
    first = store.send_exit("strategy", "trade-1", "manual", 17)
    second, third = store.send_exits("strategy", [("trade-2", "loss_limit"), ("trade-3", "profit_target")], 18)
    assert store.read("engine") == [
        Command(first, "exit", "strategy", "trade-1", "manual", 17),
        Command(second, "exit", "strategy", "trade-2", "loss_limit", 18),
        Command(third, "exit", "strategy", "trade-3", "profit_target", 18),
    ]
    store.acknowledge("engine", first)
    assert [command.stream_id for command in CommandStore(redis_client).read("engine")] == [second, third]
    assert len(store.read("another shard")) == 3
    store.acknowledge("engine", third)
    assert store.read("engine") == []


def test_a_command_that_another_program_wrote_badly_has_expired(redis_client: Any) -> None:
    redis_client.xadd(keys.COMMANDS, {"kind": b"\xff", "expires_us": "soon"})
    [command] = CommandStore(redis_client).read("engine")
    assert command.expires_us == 0 and command.trade_id == ""


def test_the_last_word_on_funding_stays_until_there_is_another(redis_client: Any) -> None:
    store = MarketStore(redis_client)
    told = LastFunding(D("-0.0001"), 8, D("61800.25"), 1_731_000_000_000_000, 1_730_990_000_000_000)
    store.publish({"a:B": msgspec.structs.replace(QUOTE, funding_told_us=told.told_us), "a:SPOT": MarketQuote()})
    store.publish({"a:B": MarketQuote(state="gapped")})  # of an engine that has heard nothing yet
    assert store.quotes()["a:B"].funding_rate is None
    assert store.last_funding() == {"a:B": told}
    redis_client.hset(keys.market("a:B"), "last_funding", "cheap")
    assert store.last_funding() == {}
