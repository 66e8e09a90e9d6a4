"""Errors of the trading domain. Each sentence carries the values that made it true."""

from __future__ import annotations

from results.domain.errors import PaperDeskError


class TradingError(PaperDeskError):
    """Something about trading that the caller asked for is refused; nothing has changed."""


class ConfigurationError(TradingError):
    """A setting is unknown, out of range, or contradicts another. `field` is its name, "" where no single one is."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


class InvalidTransition(TradingError):
    """A trade or an order cannot move from the state it is in to the state asked for."""


class InsufficientCapital(TradingError):
    """A trade needs more capital than the portfolio has available."""


class PortfolioFull(TradingError):
    """A portfolio has as many open trades as it may have."""


class ConservationBroken(TradingError):
    """Available capital and open positions do not add up to the starting capital. Source: ruling 16."""
