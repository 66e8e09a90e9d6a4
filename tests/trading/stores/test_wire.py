"""The documents' JSON: their examples, exact numbers, and fields that we do not know."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given

from tests.trading.stores import made
from trading.domain.orders import Leg, Role, Side
from trading.domain.trades import Hedge, LegOut, TradeStatus
from trading.stores import wire
from trading.stores.errors import WireError
from trading.stores.wire.records import encode
from trading.stores.wire.trade import leg_out_document

KEY = "strategy:trades:active:x"
D = Decimal


def decode_trade(raw: bytes, key: str = KEY) -> Any:
    return wire.decode_trade(raw, key, "strategy")


def leg_out_again(raw: bytes, over: bytes | None) -> bytes:
    """The example of the leg-out list, decoded, put into a trade with its id, and encoded."""
    trade_id, leg_out = wire.decode_leg_out(raw, KEY)
    assert trade_id is not None
    return encode(leg_out_document(made.pending_trade(trade_id), leg_out), over)


AGAIN: dict[str, Callable[[bytes, bytes | None], bytes]] = {
    "trade_active.json": lambda raw, over: wire.encode_trade(decode_trade(raw), over),
    "trade_closed.json": lambda raw, over: wire.encode_trade(decode_trade(raw), over),
    "portfolio_state.json": lambda raw, over: wire.encode_state(wire.decode_state(raw, KEY), over),
    "portfolio_metrics.json": lambda raw, over: wire.encode_metrics(wire.decode_metrics(raw, KEY), over),
    "metrics_daily.json": lambda raw, over: wire.encode_daily(wire.decode_daily(raw, KEY), over),
    "leg_out_event.json": leg_out_again,
}


@pytest.mark.parametrize("name", AGAIN)
@pytest.mark.parametrize("rewritten", [False, True])
def test_an_example_of_the_documents_comes_back_field_for_field(name: str, rewritten: bool) -> None:
    raw = made.document(name)
    again = AGAIN[name](raw, raw if rewritten else None)
    made.assert_has(made.texts(again), made.texts(raw))
    assert list(json.loads(again))[: len(json.loads(raw))] == list(json.loads(raw)), "fields keep their order"


def test_a_foreign_trade_is_read_with_what_the_documents_imply() -> None:
    trade = decode_trade(made.document("trade_active.json"))
    assert (trade.origin, trade.version, trade.portfolio) == ("foreign", 1, "strategy")
    assert trade.status is TradeStatus.ACTIVE and trade.quantity == D("0.1176")
    assert trade.entry_us == 1704067200_000_000, "without a sibling, time is read at second resolution"
    long, short = trade.long_order, trade.short_order
    assert (long.leg, long.side, long.role) == (Leg.LONG, Side.BUY, Role.ENTRY)
    assert (short.leg, short.side, short.role) == (Leg.SHORT, Side.SELL, Role.ENTRY)
    assert long.filled_quantity == D("0.1176") and long.cash == D("-4998.0588")  # 42500.50 * 0.1176
    assert short.cash == D("4997.44728")  # 42495.30 * 0.1176
    assert long.queue.resting_depth == D("15.0") and long.queue.is_filled
    assert decode_trade(wire.encode_trade(trade)) == trade, "it stays foreign when it is written again"


def test_a_foreign_state_starts_at_the_epoch_and_counts_wins_and_losses() -> None:
    state = wire.decode_state(made.document("portfolio_state.json"), KEY)
    assert (state.started_us, state.total_trades, state.version) == (0, 10, 0)
    assert len(state.active_trades) == 3 and state.capital_mode == "fixed"


@given(made.trades)
def test_any_open_trade_comes_back_equal(trade: Any) -> None:
    assert decode_trade(wire.encode_trade(trade)) == trade


@given(made.trades, made.trades)
def test_a_record_that_is_rewritten_says_the_new_value_only(before: Any, after: Any) -> None:
    rewritten = wire.encode_trade(after, wire.encode_trade(before))
    assert decode_trade(rewritten) == after
    assert json.loads(rewritten) == json.loads(wire.encode_trade(after))


@given(made.states)
def test_any_state_comes_back_equal(state: Any) -> None:
    assert wire.decode_state(wire.encode_state(state), KEY) == state


@given(made.metrics)
def test_any_metrics_come_back_equal(metrics: Any) -> None:
    assert wire.decode_metrics(wire.encode_metrics(metrics), KEY) == metrics


@given(made.daily, made.daily)
def test_any_daily_metrics_come_back_equal_also_over_others(before: Any, after: Any) -> None:
    assert wire.decode_daily(wire.encode_daily(after, wire.encode_daily(before)), KEY) == after


@given(made.leg_outs)
def test_any_leg_out_comes_back_equal(leg_out: LegOut) -> None:
    trade = made.pending_trade()
    assert wire.decode_leg_out(wire.encode_leg_out(trade, leg_out), KEY) == (trade.id, leg_out)


def test_a_closed_trade_carries_the_terms_of_its_pnl() -> None:
    trade = made.closed_trade()
    raw = wire.encode_trade(trade)
    assert decode_trade(raw) == trade
    terms = made.texts(raw)["pnl"]
    # the long leg made 99.75 USD per BTC and the short leg lost 84.80, on 0.1176 BTC
    assert terms["price_long"] == ("number", "11.7306")
    assert terms["price_short"] == ("number", "-9.97248")


def test_microseconds_stand_beside_the_documents_seconds() -> None:
    fields = json.loads(wire.encode_trade(made.active_trade()))
    assert (fields["entry_time"], fields["entry_time_us"]) == (1723118400, 1723118400_000_001)
    assert (fields["long_order"]["filled_at"], fields["long_order"]["filled_at_us"]) == (1723118400, 1723118400_100_000)
    assert (fields["exit_time"], fields["exit_time_us"]) == (None, None)


def test_seconds_that_another_program_changed_win_over_our_sibling() -> None:
    fields = json.loads(wire.encode_trade(made.active_trade()), parse_float=str)
    fields["entry_time"] += 10
    assert decode_trade(json.dumps(fields).encode()).entry_us == 1723118410_000_000


@pytest.mark.parametrize(
    ("written", "read", "rewritten"),
    [
        ("1.4", D("1.4"), "1.4"),  # 0.2 * 7: a binary float misses it
        ("42500.50", D("42500.50"), "42500.50"),
        ("-0.000000000001", D("-0.000000000001"), "-0.000000000001"),
        ("99999999999999999999999999.999999999999", D("99999999999999999999999999.999999999999"), None),
        ("1e-7", D("0.0000001"), "0.0000001"),
        ("1.2348000000001775", D("1.2348"), "1.2348"),  # 12 places, half-even
        ("0.0000000000005", D("0"), "0"),
        ("0.0000000000015", D("0.000000000002"), "0.000000000002"),
        ("5e3", D("5000"), "5000"),
    ],
)
def test_numbers_are_exact_and_plain(written: str, read: Decimal, rewritten: str | None) -> None:
    raw = wire.encode_state(made.state_of()).replace(b'"cumulative_pnl":0', f'"cumulative_pnl":{written}'.encode())
    state = wire.decode_state(raw, KEY)
    assert state.cumulative_pnl == read
    assert made.texts(wire.encode_state(state))["cumulative_pnl"] == ("number", rewritten or written)
    over = wire.encode_state(msgspec.structs.replace(state, win_count=9), raw)
    assert made.texts(over)["cumulative_pnl"] == ("number", written), "what did not change keeps its raw text"


def annotated(raw: bytes) -> bytes:
    """A trade to which another program added fields at every level, with text that a JSON library would not write."""
    raw = raw.replace(b'{"id":', b'{"note": {"by":"caf\\u00e9", "n": 1.50 ,"big": 1e400},"id":', 1)
    raw = raw.replace(b'"long_order":{', b'"long_order":{"tags":[ 1,2 ],', 1)
    raw = raw.replace(b'"queue_position":{', b'"queue_position":{"seen":1E0,', 1)
    raw = raw.replace(b'"orders":[{', b'"orders":[{"why":"exit \\/ one",', 1)
    return raw.replace(b'"leg_out_event":{', b'"leg_out_event":{"rank": 7 ,', 1)


def test_unknown_fields_survive_an_update_at_every_level_with_their_raw_bytes() -> None:
    trade = msgspec.structs.replace(made.closed_trade(), leg_out=made.leg_out(), status=TradeStatus.EXITING)
    raw = annotated(wire.encode_trade(trade))
    changed = msgspec.structs.replace(
        trade,
        version=9,
        long_order=msgspec.structs.replace(trade.long_order, fee=D("1")),
        orders=(*trade.orders[::-1], made.order(Leg.LONG, Side.SELL, Role.HEDGE)),
        leg_out=msgspec.structs.replace(made.leg_out(), hedge=Hedge.COMPLETE),
    )
    again = wire.encode_trade(changed, raw)
    assert decode_trade(again) == changed
    for kept in (
        b'{"by":"caf\\u00e9", "n": 1.50 ,"big": 1e400}',
        b'"tags":[ 1,2 ]',
        b'"seen":1E0',
        b'"why":"exit \\/ one"',
        b'"rank":7',
    ):
        assert again.count(kept) == 1, kept
    orders = msgspec.json.decode(again, type=dict[str, msgspec.Raw])["orders"]
    elements = msgspec.json.decode(orders, type=list[msgspec.Raw])
    assert [b'"why"' in bytes(element) for element in elements] == [False, True, False], "it moved with its order"


def test_recent_exits_keep_what_was_added_to_them() -> None:
    raw = made.document("portfolio_metrics.json").replace(b'"symbol": "BNBUSDT"', b'"symbol": "BNBUSDT", "x": 1.0')
    metrics = wire.decode_metrics(raw, KEY)
    newest = msgspec.structs.replace(metrics.recent_exits[0], trade_id="another")
    metrics = msgspec.structs.replace(metrics, recent_exits=(newest, *metrics.recent_exits))
    exits = made.texts(wire.encode_metrics(metrics, raw))["recent_exits"]
    assert [element.get("x") for element in exits] == [None, None, ("number", "1.0")]


def test_what_is_undefined_is_zero_and_listed() -> None:
    raw = wire.encode_daily(
        msgspec.structs.replace(
            wire.decode_daily(made.document("metrics_daily.json"), KEY), win_rate=None, sortino_ratio=None
        )
    )
    fields = json.loads(raw)
    assert fields["win_rate"] == 0 and fields["undefined"] == ["win_rate", "sortino_ratio"]
    defined = msgspec.structs.replace(wire.decode_daily(raw, KEY), win_rate=D("0.5"), sortino_ratio=D("1"))
    assert json.loads(wire.encode_daily(defined, raw))["undefined"] == []


def test_a_hedge_that_was_not_executed_has_the_price_zero_for_readers_that_expect_a_number() -> None:
    leg_out = msgspec.structs.replace(made.leg_out(), hedge_executed=False, hedge_price=None, hedge_loss=None)
    raw = wire.encode_leg_out(made.pending_trade(), leg_out)
    fields = json.loads(raw)
    assert (fields["hedge_price"], fields["hedge_loss"]) == (0, 0)
    assert fields["undefined"] == ["hedge_price", "hedge_loss"]
    assert wire.decode_leg_out(raw, KEY)[1] == leg_out


def test_a_leg_out_of_the_shorter_definition_takes_the_rest_from_its_trade() -> None:
    short = (
        b'{"filled_leg":"short","filled_at":1704067202,"unfilled_leg":"long","hedge_executed":true,"hedge_price":1.5}'
    )
    raw = made.document("trade_active.json").replace(b'"leg_out_event": null', b'"leg_out_event": ' + short)
    leg_out = decode_trade(raw).leg_out
    assert (leg_out.filled_price, leg_out.occurred_us) == (D("42495.30"), 1704067202_000_000)
    assert (leg_out.hedge_price, leg_out.hedge_loss, leg_out.reason) == (D("1.5"), None, "")


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (b'"entry_long_price": 42500.50', b'"entry_long_price": "cheap"', r"entry_long_price.*cheap"),
        (b'"entry_long_price": 42500.50', b'"entry_long_price": null', r"entry_long_price.*which is null"),
        (b'"entry_long_price": 42500.50', b'"entry_long_price": 1e400', r"entry_long_price is 1e\+400"),
        (b'"entry_long_price": 42500.50', b'"entry_long_price": "NaN"', r"entry_long_price is NaN"),
        (b'"status": "Active"', b'"status": "Resting"', r"\$\.status.*Resting"),
        (b'"side": "Short"', b'"side": "Sideways"', r"\$\.short_order\.side.*Sideways"),
        (b'"entry_time": 1704067200', b'"entry_time": -1', r"\$\.entry_time.*-1"),
        (b'"symbol": "BTCUSDT",', b"", r"symbol"),
        (b'"leg_out_event": null\n}', b'"leg_out_event": null', r"truncated"),
    ],
)
def test_a_malformed_record_is_named_by_key_field_and_value(before: bytes, after: bytes, sentence: str) -> None:
    raw = made.document("trade_active.json")
    assert before in raw
    with pytest.raises(WireError, match=sentence) as refusal:
        decode_trade(raw.replace(before, after, 1))
    assert str(refusal.value).startswith(f"{KEY}: ")


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"\xff", b"7", b'"text"'])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    for decode in (wire.decode_state, wire.decode_metrics, wire.decode_daily, wire.decode_leg_out, decode_trade):
        with pytest.raises(WireError, match=KEY):
            decode(raw, KEY)
