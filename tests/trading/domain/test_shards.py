"""Which shard has which instruments: all of them once, pairs whole, and nobody moves when a symbol is added."""

from __future__ import annotations

import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.config import load_desk
from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument
from trading.domain.shards import SHARDS_MAX, WHOLE, Shard, number_of, shard_of

DESK = load_desk(defaults="synthetic")
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "BNBUSDT")
COUNTS = st.integers(1, SHARDS_MAX)


@pytest.mark.parametrize(("text", "shard"), [("0/1", WHOLE), ("2/3", Shard(2, 3)), ("15/16", Shard(15, 16))])
def test_a_text_is_a_shard_and_the_other_way_round(text: str, shard: Shard) -> None:
    assert shard_of(text) == shard
    assert str(shard) == text


@pytest.mark.parametrize("text", ["", "x", "1", "0/0", "2/2", "-1/2", "0/17", "1/2/3", " 0/1", "0/1\n", "٠/١", "0/1e3"])
def test_what_is_no_part_of_a_whole_is_refused(text: str) -> None:
    sentence = f"shard {text!r} is no part of a whole: it is I/N, with N from 1 to 16 and I from 0 to N-1"
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        shard_of(text)


@pytest.mark.parametrize(("count", "numbers"), [(1, [0, 0, 0, 0, 0]), (2, [1, 0, 1, 0, 0]), (3, [2, 1, 1, 0, 2])])
def test_the_symbols_of_the_demo_are_spread(count: int, numbers: list[int]) -> None:
    """The numbers are for ever: other ones would give open trades to other engines."""
    assert [number_of(symbol) % count for symbol in SYMBOLS] == numbers
    parts = [{each.symbol for each in Shard(i, count).part_of(DESK).instruments} for i in range(count)]
    assert parts == [{s for s, n in zip(SYMBOLS, numbers, strict=True) if n == i} for i in range(count)]


@given(count=COUNTS)
def test_each_instrument_falls_to_one_shard_and_so_do_both_legs_of_a_pair(count: int) -> None:
    shards = [Shard(index, count) for index in range(count)]
    for instrument in DESK.instruments:
        assert sum(shard.has(instrument) for shard in shards) == 1
    for pair in {pair for strategy in DESK.strategies for pair in strategy.pairs}:
        long, short = DESK.instrument(pair.long), DESK.instrument(pair.short)
        assert long and short
        assert [shard.has(long) for shard in shards] == [shard.has(short) for shard in shards]


@given(count=COUNTS, added=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=8))
def test_a_new_instrument_moves_no_other(count: int, added: str) -> None:
    step = DESK.instruments[0].tick_size
    other = Instrument("okx", f"{added}USDT", added, "USDT", "linear_perpetual", step, step)
    wider = msgspec.structs.replace(DESK, instruments=(other, *DESK.instruments))
    for index in range(count):
        shard = Shard(index, count)
        before, after = shard.part_of(DESK).instruments, shard.part_of(wider).instruments
        assert [each for each in after if each is not other] == list(before)


def test_legs_whose_venues_name_the_same_assets_otherwise_stay_together() -> None:
    perpetual = DESK.instruments[0]
    other = msgspec.structs.replace(perpetual, venue="okx", symbol="BTC-USDT-SWAP")
    assert [Shard(i, 2).has(other) for i in range(2)] == [Shard(i, 2).has(perpetual) for i in range(2)]


def test_the_rivals_of_a_shard_are_all_shards_of_other_divisions() -> None:
    assert len(WHOLE.rivals) == sum(range(2, SHARDS_MAX + 1))
    rivals = set(Shard(1, 3).rivals)
    assert {WHOLE, Shard(0, 2), Shard(1, 2), Shard(15, 16)} <= rivals
    assert not rivals & {Shard(index, 3) for index in range(3)}


def test_the_whole_desk_is_itself() -> None:
    assert WHOLE.part_of(DESK) is DESK
    assert WHOLE.is_whole and not Shard(0, 2).is_whole
