"""When is a pair worth a closer look? Screening in float, cheap enough for every top of book.

The signal is `bid(short venue) - ask(long venue)` in bps of their mid (ruling 6). Each strategy that trades the pair
has a watcher with the level that its spread must reach; the level is worked out exactly once per second of event
time (baseline and expected funding move slowly), and what passes is decided exactly by `entries`.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from decimal import Decimal

from trading.domain.spread import funding_expected_fraction, spread_bps
from trading.domain.strategy import Pair, Strategy
from trading.domain.units import BPS, MICROSECONDS, ZERO
from trading.engine.markets import Market
from trading.engine.portfolio import PairKey, Portfolio

BPS_OF_MID = 20_000.0  # (a - b) / (a + b) of two prices, as basis points of their mid
SCREEN_SLACK_BPS = 1e-6  # floats must never hide what the exact decision would take


class Baseline:
    """The mean of a pair's spread over the last `seconds`, from one sample per second."""

    def __init__(self, seconds: int) -> None:
        self.span_us = seconds * MICROSECONDS
        self._samples: deque[tuple[int, Decimal]] = deque()
        self._sum = ZERO
        self._first_us: int | None = None

    def add(self, time_us: int, value_bps: Decimal | None) -> None:
        """Takes in a second; None: the spread is unknown in it. Samples older than the span are dropped."""
        while self._samples and self._samples[0][0] <= time_us - self.span_us:
            self._sum -= self._samples.popleft()[1]
        if value_bps is None:
            return
        if self._first_us is None:
            self._first_us = time_us
        self._samples.append((time_us, value_bps))
        self._sum += value_bps

    def mean_bps(self, now_us: int) -> Decimal | None:
        """The mean, or None until a whole span was watched and at least half of its seconds were known."""
        if self._first_us is None or now_us - self._first_us < self.span_us - MICROSECONDS:
            return None
        if 2 * len(self._samples) * MICROSECONDS < self.span_us:
            return None
        return self._sum / len(self._samples)


class Watcher:
    """One strategy's interest in a pair."""

    __slots__ = ("baseline", "key", "long", "portfolio", "screen_bps", "short", "strategy")

    def __init__(self, portfolio: Portfolio, long: Market, short: Market) -> None:
        self.portfolio = portfolio
        self.strategy: Strategy = portfolio.strategy
        self.long = long
        self.short = short
        self.key: PairKey = (long.instrument.id, short.instrument.id)
        self.baseline = Baseline(self.strategy.baseline_seconds) if self.strategy.signal == "basis" else None
        self.screen_bps = math.inf

    def go_on_from(self, before: Watcher) -> None:
        """Takes over the baseline of a watcher of the same pair that looked back as far."""
        if self.baseline and before.baseline and self.baseline.span_us == before.baseline.span_us:
            self.baseline = before.baseline

    def required_bps(self, now_us: int) -> Decimal | None:
        """The spread that is needed now: threshold plus baseline, less the funding expected while it is held."""
        base = ZERO
        if self.baseline is not None:
            mean = self.baseline.mean_bps(now_us)
            if mean is None:
                return None
            base = mean
        funding = self.strategy.funding_weight * self.funding_fraction(now_us) * BPS
        return self.strategy.entry_threshold_bps + base - funding

    def funding_fraction(self, now_us: int) -> Decimal:
        """Funding expected within the holding time, as a ratio of one leg's notional. Source: ruling 8."""
        hold = self.strategy.hold_seconds_expected
        return funding_expected_fraction(self.long.funding_term, self.short.funding_term, now_us, hold)


class PairSignal:
    """A pair of instruments and the strategies that watch it."""

    __slots__ = ("long", "lowest_screen_bps", "short", "spread_bps", "watchers")

    def __init__(self, long: Market, short: Market) -> None:
        self.long = long
        self.short = short
        self.watchers: list[Watcher] = []
        self.lowest_screen_bps = math.inf
        self.look()

    def look(self) -> None:
        """Works out anew the spread to be screened, from the prices that its markets show."""
        bid, ask = self.short.bid, self.long.ask
        self.spread_bps = (bid - ask) / (bid + ask) * BPS_OF_MID

    def sample(self, now_us: int) -> None:
        """The second's work: baselines take in the spread, and each watcher's level is set anew."""
        spread = self._spread_bps(now_us) if any(watcher.baseline for watcher in self.watchers) else None
        for watcher in self.watchers:
            if watcher.baseline is not None:
                watcher.baseline.add(now_us, spread)
        self.set_levels(now_us)

    def set_levels(self, now_us: int) -> None:
        """Works out each watcher's level anew."""
        for watcher in self.watchers:
            required = watcher.required_bps(now_us)
            watcher.screen_bps = math.inf if required is None else float(required) - SCREEN_SLACK_BPS
        self.lowest_screen_bps = min(watcher.screen_bps for watcher in self.watchers)

    def _spread_bps(self, now_us: int) -> Decimal | None:
        long, short = self.long.book, self.short.book
        if long.state(now_us) != "ok" or short.state(now_us) != "ok":
            return None
        assert long.best_ask is not None and short.best_bid is not None
        return spread_bps(long.best_ask, short.best_bid)


def pair_signals(
    portfolios: Iterable[Portfolio], markets: dict[str, Market], before: Iterable[PairSignal] = ()
) -> list[PairSignal]:
    """One signal per pair of these markets that any strategy trades, hung into the markets of both its legs, in place
    of those of before, whose baselines go on."""
    known = {(watcher.portfolio.prefix, watcher.key): watcher for signal in before for watcher in signal.watchers}
    for market in markets.values():
        market.signals.clear()
    signals: dict[Pair, PairSignal] = {}
    for portfolio in portfolios:
        for pair in portfolio.strategy.pairs:
            if pair.long not in markets:
                continue  # another engine shard's; it has both legs
            long, short = markets[pair.long], markets[pair.short]
            if pair not in signals:
                signals[pair] = PairSignal(long, short)
                long.signals.append(signals[pair])
                short.signals.append(signals[pair])
            watcher = Watcher(portfolio, long, short)
            if (portfolio.prefix, watcher.key) in known:
                watcher.go_on_from(known[portfolio.prefix, watcher.key])
            signals[pair].watchers.append(watcher)
    return list(signals.values())
