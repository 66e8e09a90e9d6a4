"""Errors of market feeds. Each sentence names the file, line, feed or instrument that is meant."""

from __future__ import annotations

from trading.domain.errors import TradingError


class MarketError(TradingError):
    """A market feed cannot be opened or understood."""


class CaptureError(MarketError):
    """A recorded file cannot be read; the sentence has the file, the line and what is wrong."""


class MixedPriceTexts(MarketError):
    """A book's prices are not all written with the same number of decimals, so they cannot be keys."""


class RecordingError(MarketError):
    """A recording cannot be written; the sentence has the file and what is wrong."""
