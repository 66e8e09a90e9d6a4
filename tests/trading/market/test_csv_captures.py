"""CSV files of Tardis and Binance, written here in the documented formats, as events; and what is said of bad ones."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command

from paperdesk.errors import PaperDeskError
from trading.config import load_desk
from trading.domain.events import BookDiff, BookSnapshot, FeedGap, FundingRate, MarketEvent, Print, TopOfBook
from trading.domain.orders import Side
from trading.market.book import Book
from trading.market.errors import CaptureError
from trading.market.replay import ReplayFeed

Write = Callable[..., str]
US = 1_704_067_200_000_000
SETTLEMENT = 1_704_096_000_000_000
BTC = "binanceusdm:BTCUSDT"

TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount"
TICKER = (
    "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,"
    "last_price,index_price,mark_price"
)
FUTURES_TRADES = "id,price,qty,quote_qty,time,is_buyer_maker"
FUTURES_AGGREGATES = "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker"
BOOK_TICKER = "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(*lines: str, name: str = "rows.csv") -> str:
        path = tmp_path / name
        path.write_text("".join(line + "\n" for line in lines))
        return str(path)

    return written


def tardis(kind: str, *rows: str, market: str = "binance-futures,BTCUSDT") -> list[str]:
    return [kind, *(f"{market},{row}" for row in rows)]


def events_of(*sources: str) -> list[MarketEvent]:
    return list(ReplayFeed(sources))


def padded(price: str) -> str:
    """Prices of a book have twelve decimals."""
    whole, _, decimals = price.partition(".")
    return f"{whole}.{decimals:0<12}"


def test_tardis_trades(write: Write) -> None:
    """`side` is the taker's. A row whose side is unknown is no print, and the same id is no second one."""
    path = write(
        *tardis(
            TRADES,
            f"{US},{US + 5_000},4311,buy,42283.5,0.010",
            f"{US + 1},{US + 5_001},4312,sell,42283,1e-3",
            f"{US + 2},{US + 5_002},4313,unknown,42283,1",
            f"{US + 3},{US + 5_003},4312,sell,42283,1",
        )
    )
    feed = ReplayFeed([path])
    assert list(feed) == [
        Print(BTC, US, 4311, "42283.5", "0.010", "buy"),
        Print(BTC, US + 1, 4312, "42283", "0.001", "sell"),
    ]
    assert feed.messages == 4
    assert feed.skipped == {"print whose aggressor is unknown": 1, "print that was seen before": 1}


def test_tardis_ids_that_are_no_numbers_grow_with_time(write: Write) -> None:
    rows = [f"{US},{US},{name},buy,1,1" for name in ("f0-uuid", "a0-uuid", "", "")]
    events = events_of(write(*tardis(TRADES, *rows, market="bybit,BTCUSDT")))
    assert [(event.instrument, event.print_id) for event in events if isinstance(event, Print)] == [
        ("bybit:BTCUSDT", US + number) for number in range(4)
    ]


BOOK_ROWS = [
    f"{US - 9},{US - 9},false,bid,1,1",  # before the first snapshot: to be skipped
    f"{US},{US + 50},true,bid,42283.1,5",
    f"{US},{US + 50},true,ask,42283.3,2",
    f"{US},{US + 50},true,ask,42283.2,1.50",
    f"{US + 10},{US + 60},false,bid,42283.15,1",
    f"{US + 10},{US + 60},false,ask,42283.2,0",
    f"{US + 20},{US + 70},false,bid,42280,7",
    f"{US + 30},{US + 80},true,bid,42000,1",
    f"{US + 30},{US + 80},true,ask,42001,1",
]


def test_tardis_book_rows_of_one_message_are_one_event(write: Write) -> None:
    feed = ReplayFeed([write(*tardis(BOOK, *BOOK_ROWS))])
    p = padded
    assert list(feed) == [
        BookSnapshot(BTC, US, [(p("42283.1"), "5")], [(p("42283.3"), "2"), (p("42283.2"), "1.50")], 1),
        TopOfBook(BTC, US, p("42283.1"), "5", p("42283.2"), "1.50"),
        BookDiff(BTC, US + 10, [(p("42283.15"), "1")], [(p("42283.2"), "0")], 2, 2),
        TopOfBook(BTC, US + 10, p("42283.15"), "1", p("42283.3"), "2"),
        BookDiff(BTC, US + 20, [(p("42280"), "7")], [], 3, 3),  # the top stays
        FeedGap(BTC, US + 30, "the recording was interrupted"),
        BookSnapshot(BTC, US + 30, [(p("42000"), "1")], [(p("42001"), "1")], 4),
        TopOfBook(BTC, US + 30, p("42000"), "1", p("42001"), "1"),
    ]
    assert feed.skipped == {"row of a book before its first snapshot": 1}


def test_the_top_that_is_worked_out_is_the_books_own(write: Write) -> None:
    """Sixty changes near the top; after each the worked-out top is the best level of the depth alone."""
    rows = [f"{US},{US},true,{side},{price},1" for side, price in (("bid", 100), ("ask", 110))]
    for number in range(60):
        side = ("bid", "ask")[number % 2]
        price = 100 + (number * 7) % 5 if side == "bid" else 110 - (number * 11) % 5
        rows.append(f"{US + number + 1},{US + number + 1},false,{side},{price},{number % 3}")
    depth, top = Book(BTC), None
    for event in events_of(write(*tardis(BOOK, *rows))):
        if isinstance(event, TopOfBook):
            top = event
            continue
        if top is not None:
            assert top.bid == "0" or float(depth.best_bid or 0) == float(top.bid)
            assert top.ask == "0" or float(depth.best_ask or 0) == float(top.ask)
        depth.apply(event)
    assert depth.state(US + 60) == "ok"
    assert top is not None
    assert [float(price) for price, _ in depth.levels(Side.BUY)][0] == float(top.bid)


def test_tardis_tickers_tell_funding_at_once_and_marks_each_second(write: Write) -> None:
    """The interval is the distance of two settlements, 8 h before that is known; an empty field repeats the last."""
    rows = [
        f"{US},{US},{SETTLEMENT},0.00010000,,100,1,1,42283.58",
        f"{US + 1},{US + 1},,,,100,1,1,42283.99",
        f"{US + 1_000_000},{US},,,,100,1,1,42284.00",
        f"{US + 1_000_001},{US},{SETTLEMENT},-0.00020000,,100,1,1,",
        f"{US + 2_000_001},{US},{SETTLEMENT + 4 * 3_600_000_000},-2e-05,,100,1,1,42285",
    ]
    assert events_of(write(*tardis(TICKER, *rows))) == [
        FundingRate(BTC, US, "0.00010000", 8, "42283.58", SETTLEMENT),
        FundingRate(BTC, US + 1_000_000, "0.00010000", 8, "42284.00", SETTLEMENT),
        FundingRate(BTC, US + 1_000_001, "-0.00020000", 8, "42284.00", SETTLEMENT),
        FundingRate(BTC, US + 2_000_001, "-0.00002", 4, "42285", SETTLEMENT + 4 * 3_600_000_000),
    ]


def test_contracts_need_their_size(write: Write) -> None:
    path = write(*tardis(TRADES, f"{US},{US},1,buy,42283.5,25", market="okex-swap,BTC-USDT-SWAP"))
    with pytest.raises(CaptureError, match=rf"amounts of okex-swap are contracts; .* okx:BTCUSDT\*SIZE={path}"):
        ReplayFeed([path])
    assert events_of(f"okx:BTCUSDT*0.01={path}") == [Print("okx:BTCUSDT", US, 1, "42283.5", "0.25", "buy")]


def test_binance_futures_files(write: Write) -> None:
    """Milliseconds; a buyer who was the maker means that the aggressor sold."""
    trades = write(FUTURES_TRADES, "28457,4.00000100,12.00000000,48.00,1704067200001,true", name="BTCUSDT-trades-x.csv")
    aggregates = write(
        FUTURES_AGGREGATES,
        "26129,0.01633102,4.70443515,27781,27782,1704067200002,false",
        name="BTCUSDT-aggTrades-x.csv",
    )
    tops = write(
        BOOK_TICKER, "3807631,42283.10,5.000,42283.20,1.5,1704067200003,1704067200004", name="BTCUSDT-bookTicker-x.csv"
    )
    assert events_of(trades, aggregates, tops) == [
        Print(BTC, US + 1_000, 28457, "4.00000100", "12.00000000", "sell"),
        Print(BTC, US + 2_000, 26129, "0.01633102", "4.70443515", "buy"),
        TopOfBook(BTC, US + 4_000, "42283.10", "5.000", "42283.20", "1.5"),
    ]


def test_binance_spot_files_have_no_names_of_columns_and_lately_microseconds(write: Write) -> None:
    trades = write(
        "51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True", name="BTCUSDT-trades-2020-03.csv"
    )
    aggregates = write("0,0.20000000,50.00000000,0,0,1735689600000001,False,True", name="BTCUSDT-aggTrades-2025-01.csv")
    assert events_of(trades, aggregates) == [
        Print("binance:BTCUSDT", 1_583_709_433_583_000, 51175358, "17.80180000", "5.69000000", "sell"),
        Print("binance:BTCUSDT", 1_735_689_600_000_001, 0, "0.20000000", "50.00000000", "buy"),
    ]


def test_venue_and_symbol_can_be_said(write: Write) -> None:
    path = write(FUTURES_TRADES, "1,4.0,12.0,48.00,1704067200001,true", name="whatever.csv")
    with pytest.raises(CaptureError, match="its name tells no symbol; write binanceusdm:SYMBOL="):
        ReplayFeed([path])
    (event,) = events_of(f"bybit:ETHUSDT={path}")
    assert event.instrument == "bybit:ETHUSDT"


def test_gzip_and_zip_are_told_by_content(write: Write, tmp_path: Path) -> None:
    plain = Path(write(*tardis(TRADES, f"{US},{US},1,buy,42283.5,1", f"{US},{US},2,buy,42283.5,1")))
    packed, zipped = tmp_path / "packed", tmp_path / "zipped"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain, "rows.csv")
    assert events_of(str(packed)) == events_of(str(zipped)) == events_of(str(plain))
    feed = ReplayFeed([zipped])
    list(feed)
    assert feed.bytes_read == feed.bytes_total


def test_archives_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("a.csv", "1,2")
        archive.writestr("b.csv", "1,2")
    two, cut = tmp_path / "two.zip", tmp_path / "cut.zip"
    two.write_bytes(content.getvalue())
    cut.write_bytes(content.getvalue()[:-10])
    with pytest.raises(CaptureError, match=r"two\.zip: .*the archive holds 2 files, it must be one"):
        ReplayFeed([two])
    with pytest.raises(CaptureError, match=r"cut\.zip: .*the zip archive is damaged"):
        ReplayFeed([cut])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([TRADES.replace(",side", "")], "line 1: Tardis trades has the columns exchange,.*: column side is missing"),
        ([TRADES + ",extra"], "line 1: Tardis trades .*column 'extra' is unknown"),
        (["a,b,c", "1,2,3"], "line 1: no kind of CSV that is known"),
        (tardis(TRADES, f"{US},{US},1,buy,42283.5"), r"line 2: it has 7 columns, Tardis trades has 8"),
        (tardis(TRADES, f"{US},{US},1,buy,2,1", f"{US},{US},1,long,1,1"), "line 3: column side: 'long' is not buy"),
        (tardis(TRADES, f"{US},{US},1,buy,abc,1"), "line 2: column price: 'abc' is not a number"),
        (tardis(TRADES, f"{US},{US},1,buy,-5,1"), "line 2: column price: '-5' is not a price above zero"),
        (tardis(TRADES, f"{US},{US},1,buy,5,-1"), "line 2: column amount: '-1' is not a quantity of zero or more"),
        (tardis(TRADES, f"{US},{US},1,buy,5,nan"), "line 2: column amount: 'nan' is not a number"),
        (tardis(TRADES, f"x,{US},1,buy,5,1"), "line 2: column timestamp: 'x' is not a whole number"),
        (tardis(TRADES, f"0,{US},1,buy,5,1"), "line 2: column timestamp: '0' is not an instant"),
        (tardis(BOOK, f"{US},{US},maybe,bid,5,1"), "line 2: column is_snapshot: 'maybe' is not true or false"),
        (tardis(BOOK, f"{US},{US},true,buy,5,1"), "line 2: column side: 'buy' is not bid or ask"),
        (tardis(BOOK, f"{US},{US},true,bid,5.0000000000001,1"), "line 2: column price: .* at most 12 decimals"),
        (tardis(TICKER, f"{US},{US},{SETTLEMENT},x,,1,1,1,1"), "line 2: column funding_rate: 'x' is not a number"),
        ([*tardis(TRADES, f"{US},{US},1,buy,5,1"), f"bybit,BTCUSDT,{US},{US},1,buy,5,1"],
         "line 3: column symbol: bybit BTCUSDT in a file of binance-futures BTCUSDT"),
        ([TRADES], "there is no row in it"),
        (tardis(TRADES, f"{US},{US},1,buy,5,1", market="kraken,XBTUSD"), "exchange 'kraken' is none of ours; write"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_with_file_line_and_column(lines: list[str], words: str, write: Write) -> None:
    with pytest.raises(CaptureError, match=f"rows.csv: ({words})"):
        events_of(write(*lines))


def test_the_number_of_columns_has_to_suit_the_name(write: Write) -> None:
    path = write("1,2,3", name="BTCUSDT-trades-2020-03.csv")
    with pytest.raises(CaptureError, match="line 1: a file of trades does not have 3 columns"):
        ReplayFeed([path])


def test_rows_that_come_late_are_put_in_order_within_the_window(write: Write) -> None:
    rows = [f"{US + at},{US},{at},buy,1,1" for at in (2_000_000, 1_500_000, 500_000, 2_000_001)]
    feed = ReplayFeed([write(*tardis(TRADES, *rows))], window_us=1_000_000)
    assert [(event.event_us - US) for event in feed] == [1_000_000, 1_500_000, 2_000_000, 2_000_001]
    assert feed.late == 1


def test_files_of_several_kinds_become_one_recording(write: Write, tmp_path: Path) -> None:
    book = write(*tardis(BOOK, *BOOK_ROWS), name="book.csv")
    trades = write(*tardis(TRADES, f"{US + 15},{US},1,buy,42283.5,1"), name="trades.csv")
    out, told = tmp_path / "day.gz", StringIO()
    call_command("import_capture", book, trades, "--out", str(out), "--json", stdout=told)
    assert list(ReplayFeed([out])) == events_of(book, trades)
    found = json.loads(told.getvalue())
    assert (found["events"], found["rows"]) == (9, 10)
    assert found["notes"] == {"row of a book before its first snapshot": 1}
    ReplayFeed([out]).require_known(load_desk(defaults="live"))


def test_an_import_that_fails_leaves_nothing(write: Write, tmp_path: Path) -> None:
    out = tmp_path / "out.gz"
    bad = write(*tardis(TRADES, f"{US},{US},1,buy,1,1", f"{US},{US},1,buy,1"))
    with pytest.raises(PaperDeskError, match="rows.csv: line 3: it has 7 columns"):
        call_command("import_capture", bad, "--out", str(out))
    unknown = write(*tardis(TRADES, f"{US},{US},1,buy,1,1", market="bybit,DOGEUSDT"))
    with pytest.raises(PaperDeskError, match="bybit:DOGEUSDT is not declared; --strategy FILE must be"):
        call_command("import_capture", unknown, "--out", str(out))
    assert not out.exists()
    out.write_text("precious")
    with pytest.raises(PaperDeskError, match="exists already"):
        call_command("import_capture", unknown, "--out", str(out))
    assert out.read_text() == "precious"
