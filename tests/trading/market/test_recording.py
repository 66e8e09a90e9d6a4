"""Recordings: what is written can be read back, also after a crash, and what is damaged is named."""

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.config import load_desk
from trading.domain.events import BookDiff, BookSnapshot, FeedGap, FundingRate, MarketEvent, Print, TopOfBook
from trading.market import recording as recording_format
from trading.market.errors import CaptureError, MarketError, RecordingError
from trading.market.recorder import RecordingFeed, free_path
from trading.market.recording import FLUSH_US, RecordingWriter
from trading.market.replay import ReplayFeed

DESK = load_desk()
ONE, OTHER = (instrument.id for instrument in DESK.instruments[:2])
START_US = 1_800_000_000_000_000

EVENTS: list[MarketEvent] = [
    BookSnapshot(ONE, START_US, [("61800.20", "0.250"), ("61800.10", "3")], [("61800.30", "1.5")], 7),
    TopOfBook(ONE, START_US, "61800.20", "0.250", "61800.30", "1.5"),
    BookDiff(OTHER, START_US + 1, [("61800.20", "0")], [], 8, 9, 5),
    BookDiff(OTHER, START_US + 1, [], [("0.00000001", "123456789012.123456789012")], 10, 10),
    Print(ONE, START_US + 2, 2**62, "61800.30", "0.001", "buy"),
    FundingRate(OTHER, START_US + 2, "-0.00010000", 8, "61800.25", START_US + 10**9),
    FeedGap(ONE, START_US + 3, "cut: «weil»\nund so"),
]


def written(path: Path, *batches: list[MarketEvent], close: bool = True) -> Path:
    writer = RecordingWriter(path, "test", DESK.instruments, START_US)
    for number, events in enumerate(batches):
        writer.write(events, START_US + number * FLUSH_US)
    if close:
        writer.close()
    return path


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return written(tmp_path / "whole.gz", EVENTS)


def rewritten(path: Path, *lines: bytes) -> Path:
    path.write_bytes(gzip.compress(b"".join(line + b"\n" for line in lines)))
    return path


def test_every_kind_of_event_comes_back_as_it_was(whole: Path) -> None:
    feed = ReplayFeed([whole])
    assert list(feed) == EVENTS
    assert (feed.messages, feed.skipped, feed.bytes_read) == (len(EVENTS), {}, feed.bytes_total)
    assert list(feed) == EVENTS


def test_the_header_has_the_instruments_and_who_made_it(whole: Path) -> None:
    header = json.loads(gzip.decompress(whole.read_bytes()).split(b"\n")[0])
    assert (header["recording"], header["feed"], header["started_us"]) == (1, "test", START_US)
    assert header["instruments"][0]["tick_size"] == str(DESK.instruments[0].tick_size)
    assert len(header["instruments"]) == len(DESK.instruments)


prices = st.decimals(0, 10**9, places=8, allow_nan=False).map(str)
levels = st.lists(st.tuples(prices, prices), max_size=3)
made_events = st.lists(
    st.one_of(
        st.builds(Print, st.sampled_from([ONE, OTHER]), st.just(0), st.integers(0, 2**63), prices, prices,
                  st.sampled_from(["buy", "sell"])),
        st.builds(BookDiff, st.just(ONE), st.just(0), levels, levels, st.integers(0), st.integers(0), st.integers(-1)),
        st.builds(FeedGap, st.just(OTHER), st.just(0), st.text()),
    ),
    max_size=20,
)  # fmt: skip


@given(events=made_events)
def test_whatever_is_written_comes_back(events: list[MarketEvent], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(tmp_path_factory.mktemp("round") / "trip.gz", events)
    assert list(ReplayFeed([path])) == events


def test_what_was_flushed_survives_a_writer_that_never_closes(tmp_path: Path) -> None:
    """The second batch comes a second after the first, which flushes both; the third stays in memory."""
    path = written(tmp_path / "killed.gz", EVENTS[:3], EVENTS[3:5], close=False)
    feed = ReplayFeed([path])
    assert list(feed) == EVENTS[:5]
    assert feed.skipped == {f"{path} was not closed; what came after line 6 is lost": 1}


def test_a_recording_cut_anywhere_gives_the_whole_lines_before_the_cut(whole: Path) -> None:
    content, lengths = whole.read_bytes(), set()
    header_end = content.index(b"\x00\x00\xff\xff")  # deflate's mark of the first flush, behind the header
    for cut in range(header_end + 4, len(content)):
        whole.write_bytes(content[:cut])
        feed = ReplayFeed([whole])
        events = list(feed)
        assert events == EVENTS[: len(events)]
        # without its checksum the file is not whole, but the last line that was read says that nothing is missing
        assert bool(feed.skipped) == (len(events) < len(EVENTS) or not feed.captures[0]._ended)  # type: ignore[attr-defined]
        lengths.add(len(events))
    assert {0, len(EVENTS)} <= lengths


def test_members_end_and_begin_within_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_format, "MEMBER_BYTES", 200)
    path = written(tmp_path / "members.gz", *[[event] for event in EVENTS])
    assert path.read_bytes().count(b"\x1f\x8b\x08") > 2
    assert list(ReplayFeed([path])) == EVENTS


def test_damage_in_the_middle_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "damaged.gz"
    batches = [[Print(ONE, START_US + n, n, str(n * n), "1", "buy")] for n in range(2_000)]
    writer = RecordingWriter(path, "test", DESK.instruments, START_US)
    for batch in batches:
        writer.write(batch, START_US + batch[0].print_id * FLUSH_US)
    writer.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(CaptureError, match=r"damaged\.gz: (after )?line \d+: "):
        list(ReplayFeed([path]))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'["p",0,1800000000000003,1,"1","1"]', "line 3: .*length"),
        (b'["p",0,1800000000000003,1,"1",1,"buy"]', "line 3: Expected `str`, got `int`"),
        (b'["q",0,1800000000000003]', "line 3: Invalid value 'q'"),
        (b'["g",99,1800000000000003,"x"]', "line 3: its instrument is not in the header"),
        (b'["g",-1,1800000000000003,"x"]', "line 3: its instrument is not in the header"),
        (b'["g",0,1799999999999999,"x"]', "line 3: its time 1799999999999999 is before 1800000000000000"),
        (b'["end",7]', "line 3: it ends with 7 lines, 1 were read"),
        (b"garbage", "line 3: JSON is malformed"),
    ],
)
def test_a_line_that_cannot_be_is_named(line: bytes, words: str, whole: Path, tmp_path: Path) -> None:
    lines = gzip.decompress(whole.read_bytes()).split(b"\n")
    path = rewritten(tmp_path / "bad.gz", lines[0], lines[1], line, lines[2])
    with pytest.raises(CaptureError, match=f"bad.gz: {words}"):
        list(ReplayFeed([path]))


def test_a_line_after_the_end_is_named(whole: Path, tmp_path: Path) -> None:
    lines = gzip.decompress(whole.read_bytes()).split(b"\n")[:-1]
    path = rewritten(tmp_path / "joined.gz", *lines, lines[1])
    with pytest.raises(CaptureError, match="line 10: there is a line after the end"):
        list(ReplayFeed([path]))


def test_headers_that_are_none_are_named(tmp_path: Path, whole: Path) -> None:
    unknown = gzip.decompress(whole.read_bytes()).replace(b'{"recording":1', b'{"recording":9', 1).split(b"\n")[0]
    with pytest.raises(CaptureError, match="line 1: recording format 9 is unknown, known is 1"):
        ReplayFeed([rewritten(tmp_path / "newer.gz", unknown)])
    with pytest.raises(CaptureError, match="line 1: not the header of a recording .*missing"):
        ReplayFeed([rewritten(tmp_path / "other.gz", b'{"recording":1}')])
    with pytest.raises(CaptureError, match="names its own venues"):
        ReplayFeed([f"okx={whole}"])


def test_a_file_that_exists_is_never_written_over(whole: Path) -> None:
    before = whole.read_bytes()
    with pytest.raises(RecordingError, match="whole.gz exists already"):
        written(whole, EVENTS)
    assert whole.read_bytes() == before
    assert free_path(whole).name == "whole-2.gz"
    whole.with_name("whole-2.gz").touch()
    assert free_path(whole).name == "whole-3.gz"


def test_instruments_that_were_recorded_with_other_settings_are_refused(tmp_path: Path, whole: Path) -> None:
    ReplayFeed([whole]).require_known(DESK)
    lines = gzip.decompress(whole.read_bytes()).split(b"\n")
    tick = f'"tick_size":"{DESK.instruments[0].tick_size}"'.encode()
    path = rewritten(tmp_path / "ticks.gz", lines[0].replace(tick, b'"tick_size":"0.5"', 1), *lines[1:-1])
    with pytest.raises(MarketError, match=f"{ONE} was recorded with tick_size 0.5, the settings say "):
        ReplayFeed([path]).require_known(DESK)
    with pytest.raises(MarketError, match="holds venue 'bybit', the settings declare binance"):
        ReplayFeed([whole]).require_known(load_desk(defaults="replay"))


class OneBatch:
    """A feed that delivers its events once."""

    name = "one batch"
    troubles: dict[str, str] = {"somewhere": "rain"}

    def __init__(self) -> None:
        self.batches: list[list[MarketEvent]] = [
            list(EVENTS),
            [FeedGap("kraken:X", START_US + 9, "unknown")],
        ]
        self.is_closed = False

    def poll(self, timeout_seconds: float) -> list[MarketEvent]:
        return self.batches.pop(0) if self.batches else []

    def close(self) -> None:
        self.is_closed = True


class Clock:
    def now_us(self) -> int:
        return START_US


def test_a_recorded_feed_delivers_what_it_writes(tmp_path: Path) -> None:
    inner = OneBatch()
    feed = RecordingFeed(inner, tmp_path / "feed.gz", DESK, Clock())
    assert feed.poll(0) == EVENTS
    assert len(feed.poll(0)) == 1
    feed.close()
    assert inner.is_closed
    assert (feed.writer.lines, feed.writer.foreign) == (len(EVENTS), 1)
    path = str(tmp_path / "feed.gz")
    missing = f"{path}: 1 events are not in it, their instruments were unknown when it began"
    assert feed.troubles == {"somewhere": "rain", path: missing}
    assert list(ReplayFeed([tmp_path / "feed.gz"])) == EVENTS


def test_a_full_disk_ends_the_recording_and_not_the_feed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every write to /dev/full fails with "No space left on device"."""
    feed = RecordingFeed(OneBatch(), tmp_path / "full.gz", DESK, Clock())
    feed.writer._file.close()
    feed.writer._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    feed.writer._packer = zlib.compressobj(0)  # so that the first write goes through to the file
    assert feed.poll(0) == EVENTS
    feed._clock = type("Later", (), {"now_us": lambda self: START_US + FLUSH_US})()
    assert len(feed.poll(0)) == 1
    assert "No space left on device" in feed.troubles[str(tmp_path / "full.gz")]
    assert "the recording ends here, the feed goes on" in caplog.text
    assert feed.poll(0) == []
    feed.close()
