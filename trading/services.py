"""What people ask of the engine. Nothing here writes a trade: a request becomes a command that expires (ruling 17)."""

from __future__ import annotations

from typing import Any

import structlog

from paperdesk import roles
from results.domain.errors import PaperDeskError
from trading import wiring
from trading.domain.strategy import Strategy
from trading.domain.trades import ExitReason, Trade, TradeStatus
from trading.domain.units import MICROSECONDS
from trading.engine.clock import SystemClock
from trading.engine.portfolio import ENGINE
from trading.selectors import trade_in_redis
from trading.stores.command_store import EXIT_LIFETIME_US

NOTE_CHARACTERS_MAX = 200

logger = structlog.get_logger(__name__)


class ExitRefused(PaperDeskError):
    """The exit of a trade that somebody asked for is refused; no command was sent."""


class ExitForbidden(ExitRefused):
    """Whoever asks may not."""


class TradeUnknown(ExitRefused):
    """There is no such trade in Redis."""


def trade_exit_request(trade_id: str, reason: str, user: Any) -> str:
    """Asks the engine to close an Active trade, with exit reason `manual`; returns what will happen, in words.

    `reason` is what the person says about it; it goes to the log with the user's name. Raises ExitForbidden,
    TradeUnknown, ExitRefused (each names the trade and the state that it is in) and RedisAway.
    """
    if not roles.may_command(user):
        raise ExitForbidden(f"trade {trade_id}: only staff may close a trade")
    if len(reason) > NOTE_CHARACTERS_MAX:
        raise ExitRefused(f"reason has {len(reason)} characters, at most {NOTE_CHARACTERS_MAX} are kept")
    trade = _closable(trade_id)
    expires_us = SystemClock().now_us() + EXIT_LIFETIME_US
    wiring.command_store().send_exit(trade.portfolio, trade.id, ExitReason.MANUAL.value, expires_us)
    logger.info("trade_exit_requested", trade_id=trade.id, portfolio=trade.portfolio, user=str(user), reason=reason)
    return _what_will_happen(trade)


def _closable(trade_id: str) -> Trade:
    trade, trouble = trade_in_redis(trade_id, wiring.page_redis_client)
    if trade is None and trouble:
        raise ExitRefused(f"trade {trade_id}: {trouble}")
    if trade is None:
        raise TradeUnknown(f"trade {trade_id} is not known to this desk")
    if trade.origin != ENGINE:
        raise ExitRefused(f"trade {trade_id} was written by another program; this desk watches it and never closes it")
    if trade.status is not TradeStatus.ACTIVE:
        raise ExitRefused(f"trade {trade_id} is {trade.status}; only an Active trade can be closed")
    return trade


def _what_will_happen(trade: Trade) -> str:
    seconds = EXIT_LIFETIME_US // MICROSECONDS
    return (
        f"Trade {trade.id} ({trade.symbol}, {trade.portfolio}): the engine was asked to close both legs "
        f"{_how(_strategy(trade.portfolio))}. It obeys at once if it runs and the trade is still Active; after "
        f"{seconds} s the request is void."
    )


def _how(strategy: Strategy | None) -> str:
    if strategy is None or strategy.exit_order == "market":
        return "by market orders"
    return f"by limit orders, and at market what they leave after {strategy.exit_timeout_seconds:f} s"


def _strategy(prefix: str) -> Strategy | None:
    desk = wiring.desk_store().read()
    return next((each for each in desk.strategies if each.prefix == prefix), None) if desk else None
