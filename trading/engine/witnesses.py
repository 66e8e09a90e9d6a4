"""The witnesses of a market: who sees which print once its order rests no longer.

Invariants: a resting order's witness sees what the order counts, through the paper exchange; one whose order has ended
sees every print that hits its price, whole; none sees a print twice, because a market shows a print here first.
What has been watched to its end waits in its portfolio for the next step (`Portfolio.finished`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from trading.domain.events import Print
from trading.domain.orders import Side
from trading.domain.units import MICROSECONDS
from trading.domain.witness import Witness, witness_of
from trading.engine import timers
from trading.engine.timers import Timers

if TYPE_CHECKING:
    from trading.engine.portfolio import Portfolio
    from trading.engine.working import Working

WATCH_SECONDS_MAX = 120  # of an order that rests no longer
LOOK_AGAIN_US = 1 * MICROSECONDS
WITNESSES_MAX = 1_000  # of one portfolio; the oldest is written early, so that the checkpoint stays small

logger = structlog.get_logger(__name__)


class Watched:
    """The witnesses of one instrument, the price that a print reaches first in front."""

    __slots__ = ("_buys", "_sells")

    def __init__(self) -> None:
        self._buys: list[Witness] = []
        self._sells: list[Witness] = []

    def add(self, witness: Witness) -> None:
        """Shows it prints from now on."""
        if witness.side is Side.BUY:
            insort(self._buys, witness, key=lambda each: -each.price)
        else:
            insort(self._sells, witness, key=lambda each: each.price)

    def remove(self, witness: Witness) -> None:
        """Shows it no more."""
        side = self._buys if witness.side is Side.BUY else self._sells
        side[:] = [each for each in side if each is not witness]

    def see(self, event: Print) -> None:
        """Shows a print to those whose orders have ended. Those that nothing can change any more are dropped."""
        is_sale = event.aggressor == "sell"
        witnesses = self._buys if is_sale else self._sells
        if not witnesses:
            return
        price, quantity, decided = Decimal(event.price), Decimal(event.quantity), False
        for witness in witnesses:
            if price > witness.price if is_sale else price < witness.price:
                break
            if not witness.is_resting and event.event_us > witness.accepted_us:
                witness.judge(price, quantity, event.event_us)
                decided = decided or witness.is_decided
        if decided:
            witnesses[:] = [each for each in witnesses if each.is_resting or not each.is_decided]


class Witnesses:
    """Begins a witness with each resting order, and ends it in time."""

    def __init__(self, clockwork: Timers) -> None:
        self._timers = clockwork

    def begin(self, working: Working, now_us: int) -> Witness:
        """The witness of an order that has just joined the queue; one that a checkpoint has kept goes on."""
        portfolio, book = working.portfolio, working.market.book
        strategy = portfolio.strategy
        patience_us = min(int(strategy.entry_timeout_seconds * MICROSECONDS), WATCH_SECONDS_MAX * MICROSECONDS)
        witness = portfolio.left_behind.pop(working.order.id, None)
        if witness is None or witness.accepted_us != working.order.accepted_us:  # another acceptance, another queue
            witness = witness_of(
                working.trade_id, working.order, book.event_us, book.state(now_us), strategy.leg_out_ms, patience_us
            )
        witness.is_resting = witness.moved = True
        witness.until_us = max(witness.until_us, now_us)
        working.market.watched.add(witness)
        if len(portfolio.witnesses) >= WITNESSES_MAX:
            end(portfolio, next(iter(portfolio.witnesses.values())), now_us)
        portfolio.witnesses[witness.order_id] = witness
        self._end_at(witness.until_us, portfolio, witness)
        return witness

    def _end_at(self, deadline_us: int, portfolio: Portfolio, witness: Witness) -> None:
        """Ends the watch at the deadline; one of an order that still rests goes on until it does not."""

        def expire(at_us: int) -> None:
            if witness.is_resting and portfolio.witnesses.get(witness.order_id) is witness:
                self._end_at(at_us + LOOK_AGAIN_US, portfolio, witness)
            else:
                end(portfolio, witness, at_us)

        self._timers.at(deadline_us, timers.WATCH, witness.order_id, expire)


def end(portfolio: Portfolio, witness: Witness, at_us: int) -> None:
    """Ends a watch; nothing if it has ended before or the portfolio was loaded anew."""
    if portfolio.witnesses.get(witness.order_id) is not witness:
        return
    del portfolio.witnesses[witness.order_id]
    portfolio.markets[f"{witness.exchange}:{witness.symbol}"].watched.remove(witness)
    portfolio.finished.append(witness.shadow_fill(at_us))


def end_all(portfolio: Portfolio, at_us: int) -> None:
    """Ends every watch now, because there is nothing more to see, and writes what they came to."""
    for witness in tuple(portfolio.witnesses.values()):
        end(portfolio, witness, at_us)
    portfolio.write_finished(at_us)


def forget(portfolio: Portfolio, records: Mapping[str, Any]) -> None:
    """Begins anew with the witnesses of the checkpoints: an order that rests again goes on with its own, and what the
    shadows had come to by then is written, because nobody has seen the prints since. The step that writes it takes the
    witness away, so that it is written once, however often the portfolio begins anew."""
    for witness in portfolio.witnesses.values():
        portfolio.markets[f"{witness.exchange}:{witness.symbol}"].watched.remove(witness)
    portfolio.witnesses = {}
    kept = [
        witness for witness in map(witness_in, records.values()) if witness and portfolio.share.has_witness(witness)
    ]
    portfolio.left_behind = {witness.order_id: witness for witness in kept}
    portfolio.cut_off = [witness.shadow_fill(witness.checkpoint_us) for witness in kept]
    portfolio.finished = []


def witness_in(record: Any) -> Witness | None:
    """The witness of a record; None, and a warning, where an earlier version wrote it otherwise."""
    try:
        return msgspec.convert(record, type=Witness)
    except msgspec.ValidationError as error:
        logger.warning("witness_unreadable", error=str(error))
        return None


def checkpointed(portfolio: Portfolio, now_us: int) -> dict[str, Any]:
    """The witnesses that moved since their last checkpoint, by order, for another one."""
    moved = [witness for witness in portfolio.witnesses.values() if witness.moved]
    for witness in moved:
        witness.moved, witness.checkpoint_us = False, now_us
    return {witness.order_id: msgspec.to_builtins(witness) for witness in moved}
