"""What monitor, API and admin ask of the engine. Source: ruling 17.

A command that has expired or whose trade is not Active is acknowledged and nothing else: commands may be sent twice
and read twice. What concerns another engine shard's trade is left to it, in silence: each reads all commands, from its
own position on. Among those that have come in together a person's go first (ruling 12).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

from trading.domain.trades import ExitReason
from trading.stores.command_store import EXIT, HOLD, Command

CloseTrade = Callable[[str, str, str], bool]  # (prefix, trade id, reason)
IsOurs = Callable[[str, str], bool]  # (prefix, trade id)
Hold = Callable[[str, str], None]  # (prefix, reason; empty to let it go on)

logger = structlog.get_logger(__name__)


class CommandSource(Protocol):
    """Where commands come from; see `trading.stores.command_store`."""

    def read(self, shard: str) -> list[Command]:
        """What the shard has not acknowledged."""

    def acknowledge(self, shard: str, stream_id: str) -> None:
        """Marks a command as dealt with."""


class Commands:
    """The commands of one engine shard."""

    def __init__(self, source: CommandSource, shard: str, is_ours: IsOurs) -> None:
        self._source = source
        self._shard = shard
        self._is_ours = is_ours

    def carry_out(self, close_trade: CloseTrade, hold: Hold, now_us: int) -> int:
        """Carries out what has come in; returns how many trades it sent exits for. Raises RedisAway."""
        commands = self._source.read(self._shard)
        for command in commands:
            if command.kind == HOLD:
                hold(command.prefix, command.reason)
        orders = [each for each in commands if each.kind != HOLD]
        mine = [each for each in orders if each.kind != EXIT or self._is_ours(each.prefix, each.trade_id)]
        mine.sort(key=lambda command: command.reason != ExitReason.MANUAL)
        closed = sum(self._obey(command, close_trade, now_us) for command in mine)
        if commands:
            self._source.acknowledge(self._shard, commands[-1].stream_id)
        return closed

    def _obey(self, command: Command, close_trade: CloseTrade, now_us: int) -> bool:
        if command.kind != EXIT:
            logger.warning("command_unknown", kind=command.kind, stream_id=command.stream_id)
            return False
        if command.expires_us < now_us:
            logger.info("command_expired", trade_id=command.trade_id, late_us=now_us - command.expires_us)
            return False
        return close_trade(command.prefix, command.trade_id, command.reason)
