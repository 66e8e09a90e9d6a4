"""Funding settlements that have passed, from an exchange's history -> FundingRate events that name a past instant.

    rates    fetch_funding_rate_history: instant (binance's are some ms late) and rate, the latest HISTORY_MAX
    marks    binance tells the mark price with the rate; elsewhere it is where the hour's candle of it opens

Whoever was not there when one passed learns it so: all of the history at the start, then each new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trading.domain.events import FundingRate
from trading.domain.instruments import Instrument
from trading.market.live_messages import exact, text_of

HISTORY_MAX = 100  # rates, and hours of mark prices: what every exchange gives in one answer
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
HOURS_MAX = 24
NO_HISTORY_MS = HOUR_MS  # an instrument without any is asked about again after this time


class SettledState:
    """What was told already. `next_ask_ms` is when the next settlement should have passed."""

    def __init__(self, instrument: Instrument) -> None:
        self.next_ask_ms = 0
        self._instrument = instrument
        self._told_ms = 0

    def news(self, history: Sequence[dict[str, Any]], now_ms: int) -> list[dict[str, Any]]:
        """The structures of a history that were not told yet, oldest first."""
        known = sorted((each for each in history if _is_whole(each)), key=lambda each: each["timestamp"])
        if not known:
            self.next_ask_ms = now_ms + NO_HISTORY_MS
            return []
        hours = _hours(known, len(known) - 1) or self._instrument.funding_interval_hours
        self.next_ask_ms = instant_ms(known[-1]) + hours * HOUR_MS
        return [each for each in known if instant_ms(each) > self._told_ms]

    def events(
        self, history: Sequence[dict[str, Any]], opens: Mapping[int, float], mark: str | None, event_us: int
    ) -> list[FundingRate]:
        """The events of `news`, at `event_us`. `opens` are mark prices by the hour at which a candle opens, in ms;
        where there is none the nearest known stands in, and `mark`, that of now, where there are none at all. A
        settlement without any mark price is told at another time."""
        found = []
        for place, each in enumerate(history):
            told = (each.get("info") or {}).get("markPrice")
            price = text_of(exact(told)) if told else _opened(opens, instant_ms(each)) or mark
            if price is None:
                break
            hours = _hours(history, place) or self._instrument.funding_interval_hours
            rate = text_of(exact(each["fundingRate"]))
            found.append(FundingRate(self._instrument.id, event_us, rate, hours, price, instant_ms(each) * 1_000))
            self._told_ms = instant_ms(each)
        if len(found) < len(history):
            self.next_ask_ms = 0
        return found


def lacks_marks(history: Sequence[dict[str, Any]]) -> bool:
    """Whether any of the structures comes without a mark price."""
    return any(not (each.get("info") or {}).get("markPrice") for each in history)


def instant_ms(each: dict[str, Any]) -> int:
    """The instant of a settlement: whole minutes."""
    return round(each["timestamp"] / MINUTE_MS) * MINUTE_MS


def _is_whole(each: dict[str, Any]) -> bool:
    return bool(each.get("timestamp")) and each.get("fundingRate") is not None


def _hours(history: Sequence[dict[str, Any]], place: int) -> int | None:
    """The distance to the settlement before, for the first one to the next; None where that is no interval."""
    first = max(place - 1, 0)
    if first + 1 >= len(history):
        return None
    hours = round((instant_ms(history[first + 1]) - instant_ms(history[first])) / HOUR_MS)
    return hours if 1 <= hours <= HOURS_MAX else None


def _opened(opens: Mapping[int, float], at_ms: int) -> str | None:
    if not opens:
        return None
    return text_of(exact(opens[min(opens, key=lambda hour_ms: abs(hour_ms - at_ms))]))
