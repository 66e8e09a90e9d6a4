"""Captures to events in event-time order, and what is said about captures that cannot be read."""

import gzip
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.domain.events import BookSnapshot, Print, TopOfBook
from trading.market.errors import CaptureError
from trading.market.replay import ReplayFeed

Write = Callable[..., Path]


def trade(event_ms: int, print_id: int = 1, **fields: object) -> str:
    data = {"e": "trade", "E": event_ms, "T": event_ms, "s": "BTCUSDT", "t": print_id, "p": "1.0", "q": "2.0"}
    whole = data | {"X": "MARKET", "m": False} | fields
    return msgspec.json.encode({"stream": "btcusdt@trade", "data": whole}).decode()


def ticker(bid: str = "1.0") -> str:
    return f'{{"stream":"btcusdt@bookTicker","data":{{"u":1,"s":"BTCUSDT","b":"{bid}","B":"2.0","a":"9.0","A":"1.0"}}}}'


def diff(price: str) -> str:
    levels = f'"b":[["1.0","2.0"],["{price}","2.0"]],"a":[["9.0","1.0"]]'
    return f'{{"stream":"btcusdt@depth","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,{levels}}}}}'


SNAPSHOT = '{"lastUpdateId":9,"bids":[["1.0","2.0"]],"asks":[]}'


def test_events_of_two_files_come_in_event_time_order(capture_file: Write) -> None:
    """Within one file too: the second line of the first file is the earliest event. Ties: file, then line."""
    first = capture_file(trade(50, 1), trade(40, 2), trade(60, 3), trade(60, 4))
    second = capture_file(trade(45, 5), trade(60, 6), name="binance-spot-btcusdt-test")
    events = list(ReplayFeed([first, second]))
    assert [event.print_id for event in events if isinstance(event, Print)] == [2, 5, 1, 3, 4, 6]
    assert [event.instrument for event in events[:2]] == ["binanceusdm:BTCUSDT", "binance:BTCUSDT"]


@given(times=st.lists(st.lists(st.integers(1, 3_000), max_size=40), min_size=1, max_size=3))
def test_order_is_that_of_a_stable_sort_and_time_never_goes_back(
    times: list[list[int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against plain Python: each line is clamped to the window behind the latest before it, then one stable sort."""
    folder = tmp_path_factory.mktemp("captures")
    files, expected = [], []
    for number, of_file in enumerate(times):
        lines = [f"172316125500000000{line % 10} {trade(at, line)}\n" for line, at in enumerate([1, *of_file])]
        file = folder / f"v{number}"
        file.write_text("".join(lines))
        files.append(f"venue{number}={file}")
        latest = 0
        for line, at in enumerate([1, *of_file]):
            latest = max(latest, at)
            expected.append((max(at, latest - 1_000) * 1_000, f"venue{number}:BTCUSDT", line))
    expected.sort(key=lambda row: row[0])
    feed = ReplayFeed(files, window_us=1_000_000)
    got = [(event.event_us, event.instrument, event.print_id) for event in feed if isinstance(event, Print)]
    assert got == expected


def test_an_event_later_than_the_window_is_moved_up_and_counted(capture_file: Write) -> None:
    feed = ReplayFeed([capture_file(trade(5_000, 1), trade(3_000, 2), trade(4_500, 3))], window_us=1_000_000)
    assert [(event.event_us, event.print_id) for event in feed if isinstance(event, Print)] == [
        (4_000_000, 2),  # two seconds late, the window allows one
        (4_500_000, 3),
        (5_000_000, 1),
    ]
    assert feed.late == 1


def test_a_ticker_takes_the_latest_time_before_it_and_the_first_ones_the_first_time(capture_file: Write) -> None:
    file = capture_file(
        SNAPSHOT, ticker("1.1"), trade(70), ticker("1.2"), trade(90, 2), trade(80, 3), ticker("1.3"),
        name="binance-spot-btcusdt-test",
    )  # fmt: skip
    events = list(ReplayFeed([file]))
    assert [event.event_us for event in events if isinstance(event, BookSnapshot)] == [70_000]
    tops = [(event.bid, event.event_us) for event in events if isinstance(event, TopOfBook)]
    assert tops == [("1.1", 70_000), ("1.2", 70_000), ("1.3", 90_000)]


def test_messages_without_any_time_in_the_file_are_counted_as_skipped(capture_file: Write) -> None:
    feed = ReplayFeed([capture_file(ticker(), ticker(), name="binance-spot-btcusdt-test")])
    assert list(feed) == []
    assert feed.skipped == {"message before any event time": 2}


def test_unknown_messages_are_counted_and_listed_and_not_fatal(capture_file: Write) -> None:
    mark = '{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate"}}'
    feed = ReplayFeed([capture_file(trade(1), mark, mark, '{"result":null,"id":1}', trade(2, X="NA"), trade(3))])
    assert len(list(feed)) == 2
    assert feed.messages == 6
    assert feed.unknown == {"stream btcusdt@markPrice": 2, "message without a kind": 1}
    assert feed.prints_ignored == 1


def test_a_second_pass_gives_the_same(capture_file: Write) -> None:
    feed = ReplayFeed([capture_file(trade(1), trade(2))])
    assert list(feed) == list(feed)
    assert (feed.messages, feed.bytes_read) == (2, feed.bytes_total)


def test_gzip_and_plain_are_told_by_content(capture_file: Write, tmp_path: Path) -> None:
    plain = capture_file(trade(1), trade(2))
    packed = tmp_path / "binance-usdm-btcusdt-packed"
    packed.write_bytes(gzip.compress(plain.read_bytes()[:100]) + gzip.compress(plain.read_bytes()[100:]) + b"\0" * 9)
    assert list(ReplayFeed([packed])) == list(ReplayFeed([plain]))


def test_the_venue_is_that_of_the_spec_then_of_the_name_then_of_the_content(capture_file: Write) -> None:
    def instrument(source: str | Path) -> str:
        return next(iter(ReplayFeed([source]))).instrument

    perpetual = capture_file(trade(1), name="recording")
    spot = capture_file(trade(1).replace('"X":"MARKET",', ""), name="other")
    assert instrument(f"bybit={perpetual}") == "bybit:BTCUSDT"
    assert instrument(capture_file(trade(1), name="binance-spot-btcusdt-1.gz")) == "binance:BTCUSDT"
    assert instrument(perpetual) == "binanceusdm:BTCUSDT"
    assert instrument(spot) == "binance:BTCUSDT"


def test_a_snapshot_in_a_file_without_a_telling_name_takes_the_symbol_of_its_messages(capture_file: Write) -> None:
    events = list(ReplayFeed([f"x={capture_file(SNAPSHOT, trade(1), name='recording')}"]))
    assert {event.instrument for event in events} == {"x:BTCUSDT"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('1723161255000000000 {"stream":"btcusdt@trade","data":{"E":1,', "line 2: .*truncated"),
        ('1723161255000000000 {"stream":"btcusdt@trade","data":{"E":1}}', "line 2: .*missing required field `t`"),
        (trade(1), "line 2: no receive time in nanoseconds before the message"),
        ("when " + trade(1), "line 2: no receive time"),
        ("1723161255000000000 nonsense", "line 2: .*malformed"),
        ("1723161255000000000 [1]", "line 2: .*Expected `object`"),
        ('1723161255000000000 {"stream":"btcusdt@trade","data":{"E":"x"}}', "line 2: .*Expected `int`"),
        (f"1723161255000000000 {trade(1, p='NaN')}", "line 2: 'NaN' is no price or quantity"),
        (f"1723161255000000000 {trade(1, q='-2.0')}", "line 2: '-2.0' is no price or quantity"),
        (f"1723161255000000000 {ticker('1.0x')}", "line 2: '1.0x' is no price or quantity"),
        (f"1723161255000000000 {diff('Infinity')}", "line 2: 'Infinity' is no price or quantity"),
        (f"1723161255000000000 {diff('-1')}", "line 2: '-1' is no price or quantity"),
        ('1723161255000000000 {"lastUpdateId":9,"bids":[["1.0",""]],"asks":[]}', "line 2: '' is no price or quantity"),
        (f"1723161255000000000 {trade(99_999_999_999_999)}", "line 2: event time 99999999999999 ms is more than a day"),
    ],
)
def test_an_unreadable_line_is_named_with_its_file(line: str, words: str, capture_file: Write) -> None:
    file = capture_file(trade(1))
    file.write_text(file.read_text() + line + "\n" + file.read_text())
    with pytest.raises(CaptureError, match=f"{file.name}: {words}"):
        list(ReplayFeed([file]))


def test_a_truncated_gzip_is_named_with_the_last_line_read(capture_file: Write, tmp_path: Path) -> None:
    packed = tmp_path / "binance-usdm-btcusdt-cut.gz"
    packed.write_bytes(gzip.compress(capture_file(*[trade(at) for at in range(1, 99)]).read_bytes())[:-30])
    with pytest.raises(CaptureError, match=r"cut\.gz: after line \d+: .*truncated"):
        list(ReplayFeed([packed]))


def test_a_damaged_gzip_is_named(capture_file: Write, tmp_path: Path) -> None:
    content = bytearray(gzip.compress(capture_file(*[trade(at) for at in range(1, 99)]).read_bytes()))
    content[-6] ^= 0xFF  # the checksum
    packed = tmp_path / "binance-usdm-btcusdt-bad.gz"
    packed.write_bytes(content)
    with pytest.raises(CaptureError, match=r"bad\.gz: after line \d+: the gzip stream is damaged"):
        list(ReplayFeed([packed]))


def test_files_that_are_missing_empty_or_strange_are_named(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="nowhere: No such file"):
        ReplayFeed([tmp_path / "nowhere"])
    with pytest.raises(CaptureError, match="Is a directory"):
        ReplayFeed([tmp_path])
    strange = tmp_path / "strange"
    strange.write_text("1723161255000000000 {}\n")
    with pytest.raises(CaptureError, match=r"neither name nor content tells the venue; write VENUE=.*strange"):
        ReplayFeed([strange])
    empty = tmp_path / "binance-spot-btcusdt-empty"
    empty.touch()
    with pytest.raises(CaptureError, match="the file is empty"):
        list(ReplayFeed([empty]))
    with pytest.raises(CaptureError, match="at least one"):
        ReplayFeed([])
