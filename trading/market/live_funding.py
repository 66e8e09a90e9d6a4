"""Mark price and funding terms of one perpetual, from whatever the exchange gives -> FundingRate events.

ccxt unifies funding rates (okx streams them, everybody answers `fetch_funding_rate`), and mark prices as a field of
tickers. Binance's mark price stream and bybit's ticker carry the terms as well, in `info`, the exchange's own message:
`r` and `T`, `fundingRate` and `nextFundingTime`.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from trading.domain.events import FundingRate
from trading.domain.instruments import Instrument
from trading.market.live_messages import exact, text_of

MARK_EVERY_US = 1_000_000
_HOURS = re.compile(r"^(\d+)h$")
_TERMS_IN_INFO = (("r", "T", ""), ("fundingRate", "nextFundingTime", "fundingIntervalHour"))


class Terms(NamedTuple):
    """The next settlement: its rate per interval and its instant."""

    rate: str
    settlement_us: int


class FundingState:
    """What is known now, and what was told last. `terms_us` is when terms came last, 0 for never;
    `mark` is the mark price.

    While `waits_for_hours`, nothing is told: a rate without its interval would be taken for one of another interval.
    """

    def __init__(self, instrument: Instrument, waits_for_hours: bool = False) -> None:
        self.instrument = instrument
        self.waits_for_hours = waits_for_hours
        self.hours: int | None = None
        self.terms_us = 0
        self._terms: Terms | None = None
        self.mark: str | None = None
        self._told: FundingRate | None = None

    def take_ticker(self, ticker: dict[str, Any], now_us: int) -> None:
        """A mark price or ticker structure."""
        info = ticker.get("info") or {}
        if ticker.get("markPrice"):
            self.mark = text_of(exact(ticker["markPrice"]))
        for rate, settlement, hours in _TERMS_IN_INFO:
            if info.get(rate) and int(info.get(settlement) or 0):
                self._terms, self.terms_us = Terms(text_of(exact(info[rate])), int(info[settlement]) * 1_000), now_us
                if info.get(hours):
                    self.hours = int(info[hours])

    def take_rate(self, rate: dict[str, Any], now_us: int) -> None:
        """A funding rate structure."""
        if rate.get("markPrice"):
            self.mark = text_of(exact(rate["markPrice"]))
        self.take_interval(rate)
        if rate.get("fundingRate") is not None and rate.get("fundingTimestamp"):
            self._terms = Terms(text_of(exact(rate["fundingRate"])), int(rate["fundingTimestamp"]) * 1_000)
            self.terms_us = now_us

    def take_interval(self, rate: dict[str, Any]) -> None:
        """A funding rate structure of which only the interval counts."""
        interval = _HOURS.match(str(rate.get("interval")))
        if interval:
            self.hours = int(interval[1])

    def event(self, event_us: int, top_bid: str | None) -> FundingRate | None:
        """The event that is due: at once for new terms, at most each MARK_EVERY_US for a new mark price.

        `top_bid` stands in for the mark price while the exchange told none. None while the terms are unknown.
        """
        mark = self.mark or top_bid
        if self._terms is None or mark is None or self.waits_for_hours:
            return None
        hours = self.hours or self.instrument.funding_interval_hours
        event = FundingRate(self.instrument.id, event_us, self._terms.rate, hours, mark, self._terms.settlement_us)
        told = self._told
        is_known = told is not None and _terms(told) == _terms(event)
        if told is not None and is_known and (told.mark_price == mark or event_us - told.event_us < MARK_EVERY_US):
            return None
        self._told = event
        return event

    def sentence(self) -> str | None:
        """How the exchange's funding interval differs from the settings, None if it does not."""
        declared = self.instrument.funding_interval_hours
        if self.hours is None or self.hours == declared:
            return None
        return f"funding_interval_hours is {declared}, the exchange settles every {self.hours} h, which is what counts"


def _terms(event: FundingRate) -> tuple[str, int, int]:
    return event.rate, event.interval_hours, event.next_settlement_us
