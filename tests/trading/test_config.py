"""Settings files: what is shipped loads, numbers are exact, and what is wrong is named."""

from decimal import Decimal
from pathlib import Path

import pytest

from trading.config import DEFAULTS, Defaults, load_desk
from trading.domain.errors import ConfigurationError

SETTINGS = """
[[venues]]
name = "a"
maker_fee_rate = 0.0002
taker_fee_rate = 0.0005

[[instruments]]
venue = "a"
symbol = "BTCUSDT"
base_asset = "BTC"
quote_asset = "USDT"
contract_type = "spot"
tick_size = 0.01
lot_step = 0.00001

[[instruments]]
venue = "a"
symbol = "BTCPERP"
base_asset = "BTC"
quote_asset = "USDT"
contract_type = "linear_perpetual"
tick_size = 0.1
lot_step = 0.001

[[strategies]]
prefix = "strategy"
name = "First"
pairs = [{ long = "a:BTCUSDT", short = "a:BTCPERP" }]
loss_limit_bps = 12.1
"""
SECOND = """
[[strategies]]
copy_of = "strategy"
prefix = "second"
name = "Second"
hedge = "complete"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "desk.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("defaults", DEFAULTS)
def test_shipped_settings_load(defaults: Defaults) -> None:
    desk = load_desk(defaults=defaults)
    assert desk.strategies[0].prefix == "strategy"
    traded = {leg for strategy in desk.strategies for pair in strategy.pairs for leg in (pair.long, pair.short)}
    assert traded == {instrument.id for instrument in desk.instruments}


def test_the_synthetic_demo_runs_two_portfolios_that_differ_in_the_hedge_only() -> None:
    first, second = load_desk().strategies
    assert (first.prefix, first.hedge) == ("strategy", "unwind")
    assert (second.prefix, second.hedge) == ("strategy_complete", "complete")
    assert second.pairs == first.pairs
    assert len(first.pairs) == 30  # 5 symbols x 3 pairs of venues x both ways
    assert second.entry_threshold_bps == first.entry_threshold_bps


def test_the_replay_buys_spot_and_sells_the_perpetual_with_fees_on() -> None:
    desk = load_desk(defaults="replay")
    (pair,) = desk.strategies[0].pairs
    assert (pair.long, pair.short) == ("binance:BTCUSDT", "binanceusdm:BTCUSDT")
    assert desk.venue("binance").taker_fee_rate == Decimal("0.0010")
    assert desk.venue("binanceusdm").taker_fee_rate == Decimal("0.0005")


def test_numbers_are_the_decimals_that_are_written(tmp_path: Path) -> None:
    desk = load_desk(write(tmp_path, SETTINGS))
    assert desk.instruments[0].lot_step == Decimal("0.00001")
    assert str(desk.strategies[0].loss_limit_bps) == "12.1"  # as a float it would be 12.0999999999999996447


def test_a_copy_has_the_fields_that_it_does_not_state(tmp_path: Path) -> None:
    first, second = load_desk(write(tmp_path, SETTINGS + SECOND)).strategies
    assert (second.prefix, second.name, second.hedge) == ("second", "Second", "complete")
    assert (second.pairs, second.loss_limit_bps) == (first.pairs, first.loss_limit_bps)
    assert first.hedge == "unwind"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("loss_limit_bps = 12.1", "loss_limit = 12.1", "strategy strategy: loss_limit is 12.1: no such setting"),
        ("loss_limit_bps = 12.1", "loss_limit_bps = -1", "strategy strategy: loss_limit_bps is -1, allowed is 0.01 to"),
        (
            "loss_limit_bps = 12.1",
            'loss_limit_bps = "much"',
            "strategy strategy: loss_limit_bps is much: Invalid decimal",
        ),
        ("loss_limit_bps = 12.1", "loss_limit_bps = nan", "nan is no number"),
        (
            "loss_limit_bps = 12.1",
            'loss_limit_bps = "nan"',
            "strategy strategy: loss_limit_bps is NaN, nan and infinite",
        ),
        ("loss_limit_bps = 12.1", 'hedge = "pray"', "strategy strategy: hedge is pray: Invalid enum value"),
        ("loss_limit_bps = 12.1", "leg_out_ms = 0.5", "strategy strategy: leg_out_ms is 0.5: Expected `int`"),
        ('name = "a"\n', "", "venue ?: name is missing"),
        ('short = "a:BTCPERP"', 'short = "a:ETHPERP"', "instrument 'a:ETHPERP' is not declared"),
        ('"a:BTCUSDT", short = "a:BTCPERP"', '"a:BTCPERP", short = "a:BTCUSDT"', "cannot be shorted"),
        ("loss_limit_bps = 12.1", "loss_limit_bps = 12.1234567890123", "12.1234567890123, at most 12 decimals"),
        (
            "maker_fee_rate = 0.0002",
            "maker_fee_rate = 0.06",
            "venue a: maker_fee_rate is 0.06, allowed is -0.01 to 0.05",
        ),
        ("lot_step = 0.00001", "lot_step = 0.00003", "lot steps 0.00003 and 0.001 are no multiples of each other"),
        (
            "maker_fee_rate = 0.0002",
            "order_latency_p99_us = 1\nmaker_fee_rate = 0.0002",
            "order_latency_p99_us is 1, the",
        ),
        ("[[venues]]", "seeds = 1\n[[venues]]", "seeds is 1: no such setting"),
        ("[[venues]]", "[venues]", "not valid TOML|venues"),
        ("maker_fee_rate = 0.0002", "maker_fee_rate = ", "not valid TOML: Invalid value (at line 4, column"),
    ],
)
def test_what_is_wrong_is_named_with_file_field_and_value(old: str, new: str, words: str, tmp_path: Path) -> None:
    assert old in SETTINGS
    file = write(tmp_path, SETTINGS.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        load_desk(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert any(word in message for word in words.split("|"))


def test_a_copy_of_nothing_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, SETTINGS + SECOND.replace('copy_of = "strategy"', 'copy_of = "other"'))
    with pytest.raises(ConfigurationError, match=r"copy_of is 'other': no strategy above it .*known: strategy"):
        load_desk(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: No such file"):
        load_desk(tmp_path / "nowhere.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match=r"binary\.toml: not a text file"):
        load_desk(binary)
