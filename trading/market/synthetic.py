"""A seeded synthetic market: the same seed, desk and start give the same events, bit for bit.

Each symbol has a mid; each venue asks a little more or less for it, and now and then a lot (an excursion: the spread
between venues opens beyond the fees, holds, may open further, and closes). Market orders come in waves that reach
most venues and both sides within a quarter of a second, so that resting orders fill within seconds; in a burst many
waves follow each other. A venue falls silent now and then: a FeedGap per instrument, seconds of nothing, then
snapshots. Perpetuals have funding rates with settlement instants at whole intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Literal

from trading.domain.events import FeedGap, FundingRate, MarketEvent
from trading.domain.instruments import Instrument
from trading.domain.strategy import Desk
from trading.market.synthetic_book import SyntheticBook
from trading.market.synthetic_prices import SECOND_US, Basis, Excursion, Funding, Mid

MESSAGES_PER_SECOND = 150.0
HOUR_US = 3_600 * SECOND_US
FIRST_PRICES = {"BTC": 61_800.0, "ETH": 2_650.0, "SOL": 155.0, "BNB": 520.0, "XRP": 0.61}
OTHER_FIRST_PRICE = 100.0
LEVEL_NOTIONAL_USD = 15_000.0

WAVE_SECONDS_MEAN = 1.5  # per symbol
WAVE_SPREAD_US = 250_000
WAVE_REACH = 0.85  # the probability that a wave reaches a given side of a given venue
BURST_SECONDS_MEAN = 25.0  # per symbol
BURST_US = 2_500_000
BURST_WAVES = 10
EXCURSION_SECONDS_MEAN = 75.0  # per instrument
FIRST_EXCURSION_SECONDS_MEAN = 30.0  # so that a demo has something to show at once
SILENCE_SECONDS_MEAN = 60.0  # per venue
SILENCE_SECONDS = (2.0, 6.0)
FUNDING_US = 5 * SECOND_US
MESSAGES_PER_WAVE_SIDE = 2.0
MESSAGES_PER_QUOTE = 1.55  # measured: a diff each time, the top in about half of them

Action = Callable[[int], Iterable[MarketEvent]]


class SyntheticFeed:
    """Events of a desk's instruments from `start_us` on, without end. Iterating begins anew each time.

    `messages_per_second` is the rate of all instruments together, on average (prints alone may need more than a very
    low one). `speed` is how many seconds of the market's life pass in one second of event time.
    `funding_interval_us` replaces the instruments' own funding intervals, for tests.
    """

    def __init__(
        self,
        desk: Desk,
        seed: int,
        start_us: int,
        messages_per_second: float = MESSAGES_PER_SECOND,
        speed: float = 1.0,
        funding_interval_us: int | None = None,
    ) -> None:
        self._new_market = partial(
            _Market, desk.instruments, seed, start_us, messages_per_second, speed, funding_interval_us
        )
        self._ahead: Iterator[MarketEvent] | None = None
        self._next: MarketEvent | None = None

    def __iter__(self) -> Iterator[MarketEvent]:
        return self._new_market().events()

    def events_until(self, now_us: int) -> Iterator[MarketEvent]:
        """The events up to and including `now_us` that were not given yet."""
        self._ahead = self._ahead or iter(self)
        while True:
            self._next = self._next or next(self._ahead)
            if self._next.event_us > now_us:
                return
            event, self._next = self._next, None
            yield event


class _Traded:
    """One instrument with what drives it."""

    def __init__(self, instrument: Instrument, mid: Mid, random: Random) -> None:
        price = FIRST_PRICES.get(instrument.base_asset, OTHER_FIRST_PRICE)
        self.instrument = instrument
        self.mid = mid
        self.basis = Basis(random)
        self.funding = Funding(random)
        self.book = SyntheticBook(instrument, price, LEVEL_NOTIONAL_USD, random)

    def follow(self, time_us: int, random: Random) -> None:
        self.book.quote(self.mid.at(time_us, random) * (1 + self.basis.at(time_us, random) / 10_000))


class _Market:
    """An agenda of (market time, order, action); each action yields its events and puts its next one on it."""

    def __init__(
        self,
        instruments: tuple[Instrument, ...],
        seed: int,
        start_us: int,
        messages_per_second: float,
        speed: float,
        funding_interval_us: int | None,
    ) -> None:
        self._random = Random(seed)
        self._start_us = start_us
        self._speed = speed
        self._funding_interval_us = funding_interval_us
        self._agenda: list[tuple[int, int, Action]] = []
        self._order = count()
        self._silent: set[str] = set()
        mids = {
            name: Mid(FIRST_PRICES.get(name, OTHER_FIRST_PRICE))
            for name in dict.fromkeys(instrument.base_asset for instrument in instruments)
        }
        self._traded = [_Traded(known, mids[known.base_asset], self._random) for known in instruments]
        self._quote_seconds_mean = 1 / self._quotes_per_second(messages_per_second / speed, len(mids))
        self._begin()

    def events(self) -> Iterator[MarketEvent]:
        while True:
            time_us, _, action = heappop(self._agenda)
            yield from action(time_us)

    def _quotes_per_second(self, messages_per_second: float, symbols: int) -> float:
        waves_per_second = 1 / WAVE_SECONDS_MEAN + BURST_WAVES / BURST_SECONDS_MEAN
        prints_per_second = waves_per_second * len(self._traded) * 2 * WAVE_REACH
        rest = messages_per_second - prints_per_second * MESSAGES_PER_WAVE_SIDE
        return max(rest / MESSAGES_PER_QUOTE, len(self._traded) / 2)

    def _begin(self) -> None:
        for traded in self._traded:
            self._at(0, partial(self._appear, traded))
            self._later(0, FIRST_EXCURSION_SECONDS_MEAN, partial(self._excursion, traded))
            if traded.instrument.contract_type != "spot":
                self._at(self._random.randrange(FUNDING_US), partial(self._funding, traded))
        for mid in {id(traded.mid): traded.mid for traded in self._traded}.values():
            self._later(0, WAVE_SECONDS_MEAN, partial(self._wave, mid))
            self._later(0, BURST_SECONDS_MEAN, partial(self._burst, mid))
        for venue in dict.fromkeys(traded.instrument.venue for traded in self._traded):
            self._later(0, SILENCE_SECONDS_MEAN, partial(self._silence, venue))
        self._later(0, self._quote_seconds_mean, self._quote)

    def _at(self, time_us: int, action: Action) -> None:
        heappush(self._agenda, (time_us, next(self._order), action))

    def _later(self, time_us: int, seconds_mean: float, action: Action) -> None:
        self._at(time_us + int(self._random.expovariate(1 / seconds_mean) * SECOND_US), action)

    def _event_us(self, time_us: int) -> int:
        return self._start_us + int(time_us / self._speed)

    def _is_silent(self, traded: _Traded) -> bool:
        return traded.instrument.venue in self._silent

    def _appear(self, traded: _Traded, time_us: int) -> Iterable[MarketEvent]:
        return traded.book.snapshot(self._event_us(time_us))

    def _quote(self, time_us: int) -> Iterable[MarketEvent]:
        self._later(time_us, self._quote_seconds_mean, self._quote)
        traded = self._random.choice(self._traded)
        if self._is_silent(traded):
            return ()
        traded.follow(time_us, self._random)
        return traded.book.changes(self._event_us(time_us))

    def _wave(self, mid: Mid, time_us: int) -> Iterable[MarketEvent]:
        self._later(time_us, WAVE_SECONDS_MEAN, partial(self._wave, mid))
        self._send_wave(mid, time_us)
        return ()

    def _burst(self, mid: Mid, time_us: int) -> Iterable[MarketEvent]:
        self._later(time_us, BURST_SECONDS_MEAN, partial(self._burst, mid))
        mid.burst_until_us = time_us + BURST_US
        for _ in range(BURST_WAVES):
            self._send_wave(mid, time_us + self._random.randrange(BURST_US))
        return ()

    def _send_wave(self, mid: Mid, time_us: int) -> None:
        for traded in self._traded:
            if traded.mid is not mid:
                continue
            for aggressor in ("buy", "sell"):
                if self._random.random() < WAVE_REACH:
                    print_us = time_us + self._random.randrange(WAVE_SPREAD_US)
                    self._at(print_us, partial(self._print, traded, aggressor))

    def _print(self, traded: _Traded, aggressor: Literal["buy", "sell"], time_us: int) -> Iterable[MarketEvent]:
        if self._is_silent(traded):
            return ()
        fraction = self._random.uniform(0.15, 0.5)
        return traded.book.print_at_best(self._event_us(time_us), aggressor, fraction)

    def _excursion(self, traded: _Traded, time_us: int) -> Iterable[MarketEvent]:
        self._later(time_us, EXCURSION_SECONDS_MEAN, partial(self._excursion, traded))
        if not traded.basis.excursions:
            traded.basis.excursions.append(Excursion.drawn(time_us, self._random))
        return ()

    def _silence(self, venue: str, time_us: int) -> Iterator[MarketEvent]:
        self._silent.add(venue)
        end_us = time_us + int(self._random.uniform(*SILENCE_SECONDS) * SECOND_US)
        self._at(end_us, partial(self._return, venue))
        for traded in self._traded:
            if traded.instrument.venue == venue:
                yield FeedGap(traded.instrument.id, self._event_us(time_us), f"{venue} is silent")

    def _return(self, venue: str, time_us: int) -> Iterator[MarketEvent]:
        self._silent.discard(venue)
        self._later(time_us, SILENCE_SECONDS_MEAN, partial(self._silence, venue))
        for traded in self._traded:
            if traded.instrument.venue == venue:
                traded.follow(time_us, self._random)
                yield from traded.book.snapshot(self._event_us(time_us))

    def _funding(self, traded: _Traded, time_us: int) -> Iterable[MarketEvent]:
        self._at(time_us + FUNDING_US, partial(self._funding, traded))
        if self._is_silent(traded):
            return ()
        event_us = self._event_us(time_us)
        hours = traded.instrument.funding_interval_hours
        interval_us = self._funding_interval_us or hours * HOUR_US
        settlement_us = (event_us // interval_us + 1) * interval_us
        rate, mark_price = traded.funding.next_rate(self._random), traded.book.mark_price()
        return (FundingRate(traded.instrument.id, event_us, rate, hours, mark_price, settlement_us),)
