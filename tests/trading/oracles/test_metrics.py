"""Ruling 21's formulas against empyrical-reloaded and quantstats, on made-up returns.

Both compute in float64 and annualise by the number of periods that they are given: 365 here. Where ours is undefined
(None), theirs is not a number, infinite, or the noise of dividing by a deviation of nothing. Their drawdown is negative
and starts, like ours, at the first capital.
"""

from __future__ import annotations

import math
from decimal import Decimal
from itertools import accumulate

import empyrical
import pandas as pd
import pytest
import quantstats.stats as quantstats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trading.domain.metrics import (
    EquityTrack,
    expectancy,
    max_drawdown,
    profit_factor,
    realistic_apr,
    sharpe_ratio,
    sortino_ratio,
    win_rate,
)
from trading.domain.units import DAY_US, ZERO

YEAR = 365
START = Decimal(20_000)
MIDNIGHT_US = 19_676 * DAY_US
RETURN = st.integers(-400_000, 400_000).map(lambda millionths: Decimal(millionths) / 1_000_000)
RETURNS = st.lists(st.just(ZERO) | RETURN, min_size=2, max_size=120)  # empty days are zeros
NETS = st.lists(st.integers(-50_000, 50_000).map(lambda cents: Decimal(cents) / 100), min_size=1, max_size=60)


def series(values: list[Decimal]) -> pd.Series:
    return pd.Series([float(value) for value in values], index=pd.date_range("2024-01-01", periods=len(values)))


def near(ours: Decimal | None, theirs: float) -> bool:
    """Equal but for what float64 and our rounding to 12 decimals leave."""
    assert ours is not None
    return math.isclose(float(ours), theirs, rel_tol=1e-9, abs_tol=2e-12)


@settings(deadline=None)
@given(RETURNS)
def test_the_sharpe_ratio_is_theirs(returns: list[Decimal]) -> None:
    assume(len(set(returns)) > 1)
    ours = sharpe_ratio(returns)
    assert near(ours, empyrical.sharpe_ratio(series(returns), risk_free=0, annualization=YEAR))
    assert near(ours, quantstats.sharpe(series(returns), rf=0, periods=YEAR))


@settings(deadline=None)
@given(RETURNS)
def test_the_sortino_ratio_is_theirs(returns: list[Decimal]) -> None:
    assume(any(each < 0 for each in returns))
    ours = sortino_ratio(returns)
    assert near(ours, empyrical.sortino_ratio(series(returns), required_return=0, annualization=YEAR))
    assert near(ours, quantstats.sortino(series(returns), rf=0, periods=YEAR))


@pytest.mark.parametrize("returns", [[], [Decimal("0.1")], [Decimal("0.1")] * 5, [ZERO] * 3])
def test_what_has_no_variance_has_no_sharpe_ratio(returns: list[Decimal]) -> None:
    assert sharpe_ratio(returns) is None
    theirs = empyrical.sharpe_ratio(series(returns), annualization=YEAR) if returns else math.nan
    assert not math.isfinite(theirs)


@pytest.mark.parametrize("returns", [[], [Decimal("-0.1")], [Decimal("0.1"), Decimal("0.2")], [ZERO] * 3])
def test_what_never_lost_has_no_sortino_ratio(returns: list[Decimal]) -> None:
    assert sortino_ratio(returns) is None


@settings(deadline=None)
@given(RETURNS)
def test_the_drawdown_of_an_equity_is_theirs_of_its_returns(returns: list[Decimal]) -> None:
    equities = list(accumulate(returns, lambda equity, one: equity * (1 + one), initial=START))
    ours = max_drawdown(equities)
    assert near(ours, -empyrical.max_drawdown(series(returns)))
    assert near(ours, -quantstats.max_drawdown(series(returns)))


@settings(deadline=None)
@given(RETURNS, st.integers(1, 4))
def test_a_track_of_the_marked_equity_has_their_drawdown_and_their_sharpe_ratio(
    returns: list[Decimal], looks_a_day: int
) -> None:
    """One return a day, seen several times on its day: the track finds the days by itself."""
    assume(len(set(returns)) > 1)
    track, equity = EquityTrack.new(START, MIDNIGHT_US), START
    for day, one in enumerate(returns):
        equity *= 1 + one
        for look in range(looks_a_day):
            track = track.observed(equity, MIDNIGHT_US + day * DAY_US + look * DAY_US // looks_a_day)
    assert near(track.max_drawdown, -empyrical.max_drawdown(series(returns)))
    ours = sharpe_ratio((*track.returns, track.day_return))
    theirs = empyrical.sharpe_ratio(series(returns), risk_free=0, annualization=YEAR)
    assert ours is not None and math.isclose(float(ours), theirs, rel_tol=1e-7, abs_tol=1e-7)


@settings(deadline=None)
@given(NETS)
def test_profit_factor_win_rate_and_expectancy_are_theirs(nets: list[Decimal]) -> None:
    """quantstats' win rate leaves break-evens out of the count, ours has them in it (ruling 21)."""
    gains, losses = [net for net in nets if net > 0], [net for net in nets if net < 0]
    if losses:
        assert near(profit_factor(nets), quantstats.profit_factor(series(nets), prepare_returns=False))
    else:
        assert profit_factor(nets) is None
    assert near(expectancy(nets), float(series(nets).mean()))
    if gains or losses:
        theirs = quantstats.win_rate(series(nets), prepare_returns=False)
        assert near(win_rate(len(gains), len(gains) + len(losses)), theirs)
    assert near(win_rate(len(gains), len(nets)), len(gains) / len(nets))


@settings(deadline=None)
@given(st.integers(-1_000_000, 1_000_000), st.integers(1, 3_650))
def test_the_simple_annual_rate_is_what_empyrical_compounds_in_one_year(cents: int, days: int) -> None:
    """Over exactly one year simple and compounded rates are the same; over less, ours is linear in time."""
    net = Decimal(cents) / 100
    year = [net / START, *[ZERO] * (YEAR - 1)]
    ours = realistic_apr(net, START, YEAR * DAY_US)
    assert near(ours, empyrical.annual_return(series(year), annualization=YEAR))
    assert near(realistic_apr(net, START, days * DAY_US), float(net / START) * YEAR / days)
