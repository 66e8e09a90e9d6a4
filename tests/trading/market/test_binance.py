"""One message, one event."""

import msgspec
import pytest

from trading.domain.events import BookDiff, BookSnapshot, Print, TopOfBook
from trading.market.binance import (
    NOT_A_MARKET_PRINT,
    Sorted,
    parse_diff,
    parse_of_stream,
    parse_snapshot,
    parse_ticker,
    parse_trade,
    sort_message,
    venue_and_symbol_of,
)

LATEST_US = 77_000_000


def trade(**fields: object) -> bytes:
    whole = {"E": 1_000, "T": 999, "t": 5, "p": "61800.30", "q": "0.006", "X": "MARKET", "m": False} | fields
    return msgspec.json.encode({"stream": "btcusdt@trade", "data": whole})


def test_a_maker_buyer_means_that_the_aggressor_sold() -> None:
    sold = Print("a:B", 1_000_000, 5, "61800.30", "0.006", "sell")
    assert parse_trade(trade(m=True), "a:B", LATEST_US) == sold
    assert parse_trade(trade(m=False), "a:B", LATEST_US) == msgspec.structs.replace(sold, aggressor="buy")


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "NA", "ADL"])
def test_only_market_prints_count(kind: str) -> None:
    assert parse_trade(trade(X=kind), "a:B", LATEST_US) == NOT_A_MARKET_PRINT


def test_spot_prints_have_no_kind_and_count() -> None:
    body = b'{"stream":"btcusdt@trade","data":{"E":1000,"t":5,"p":"1.0","q":"2.0","T":999,"m":true,"M":true}}'
    assert parse_trade(body, "a:B", LATEST_US) == Print("a:B", 1_000_000, 5, "1.0", "2.0", "sell")


def test_a_ticker_without_a_time_takes_its_venues_latest() -> None:
    spot = b'{"stream":"x","data":{"u":1,"s":"BTCUSDT","b":"1.0","B":"2.0","a":"1.1","A":"3.0"}}'
    perpetual = b'{"stream":"x","data":{"e":"bookTicker","u":1,"b":"1.0","B":"2.0","a":"1.1","A":"3.0","T":5,"E":6}}'
    assert parse_ticker(spot, "a:B", LATEST_US) == TopOfBook("a:B", LATEST_US, "1.0", "2.0", "1.1", "3.0")
    assert parse_ticker(perpetual, "a:B", LATEST_US) == TopOfBook("a:B", 6_000, "1.0", "2.0", "1.1", "3.0")


def test_a_diff_names_the_one_before_it_on_the_perpetual_only() -> None:
    spot = b'{"data":{"E":7,"s":"BTCUSDT","U":3,"u":4,"b":[["1.0","0.0"]],"a":[]}}'
    perpetual = b'{"data":{"E":7,"T":6,"U":3,"u":4,"pu":2,"b":[],"a":[["1.1","2.0"]]}}'
    assert parse_diff(spot, "a:B", LATEST_US) == BookDiff("a:B", 7_000, [("1.0", "0.0")], [], 3, 4, -1)
    assert parse_diff(perpetual, "a:B", LATEST_US) == BookDiff("a:B", 7_000, [], [("1.1", "2.0")], 3, 4, 2)


def test_a_snapshot_has_a_time_on_the_perpetual_only() -> None:
    spot = b'{"lastUpdateId":9,"bids":[["1.0","2.0"]],"asks":[]}'
    perpetual = b'{"lastUpdateId":9,"E":8,"T":7,"bids":[],"asks":[]}'
    assert parse_snapshot(spot, "a:B", LATEST_US) == BookSnapshot("a:B", LATEST_US, [("1.0", "2.0")], [], 9)
    assert parse_snapshot(perpetual, "a:B", LATEST_US) == BookSnapshot("a:B", 8_000, [], [], 9)


def test_streams_are_known_by_their_name() -> None:
    assert parse_of_stream("btcusdt@depth@0ms") == ("BTCUSDT", parse_diff)
    assert parse_of_stream("ethusdt@bookTicker") == ("ETHUSDT", parse_ticker)
    assert parse_of_stream("btcusdt@markPrice") == ("BTCUSDT", None)


def test_messages_outside_combined_streams_are_told_by_their_fields() -> None:
    diff = b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}'
    assert sort_message(diff) == Sorted("btcusdt@depth", b'{"data":' + diff + b"}")
    ticker = b'{"u":1,"s":"BTCUSDT","b":"1","B":"2","a":"3","A":"4"}'
    assert sort_message(ticker) == Sorted("btcusdt@bookTicker", b'{"data":' + ticker + b"}")
    assert sort_message(b'{"lastUpdateId":1,"bids":[],"asks":[]}')[0] == ""
    assert sort_message(b'{"e":"24hrTicker","s":"BTCUSDT"}') == "message 24hrTicker"
    assert sort_message(b'{"result":null,"id":1}') == "message without a kind"


def test_what_a_message_tells_of_its_venue() -> None:
    assert venue_and_symbol_of(b'{"stream":"x","data":{"e":"depthUpdate","s":"BTCUSDT","pu":1}}') == (
        "binanceusdm",
        "BTCUSDT",
    )
    assert venue_and_symbol_of(b'{"e":"trade","s":"BTCUSDT","X":"MARKET"}') == ("binanceusdm", "BTCUSDT")
    assert venue_and_symbol_of(b'{"e":"trade","s":"BTCUSDT","M":true}') == ("binance", "BTCUSDT")
    assert venue_and_symbol_of(b'{"u":1,"s":"ETHUSDT","A":"1"}') == ("binance", "ETHUSDT")
    assert venue_and_symbol_of(b'{"lastUpdateId":1}') == (None, None)
