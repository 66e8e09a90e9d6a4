"""Shadow fills when Redis lost its history: those of the new one count, the others stay (ruling 29)."""

from __future__ import annotations

from decimal import Decimal

from results.domain.units import us_of_datetime
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio
from tests.results.pipeline.test_loss import own, settle, side
from trading.domain.orders import Order
from trading.domain.shadow import UNFILLED, ShadowFill
from trading.domain.trades import Trade
from trading.domain.units import MICROSECONDS
from trading.models import ShadowFill as ShadowFillRow
from trading.stores import keys
from trading.stores.transition import Transition

__all__ = ["own", "side"]


def watched(trade: Trade, order: Order, seconds: int) -> ShadowFill:
    """What the order's shadows had come to after so many seconds: nothing."""
    return ShadowFill(
        trade_id=trade.id,
        order_id=order.id,
        exchange=order.exchange,
        symbol=order.symbol,
        leg=order.leg,
        role=order.role,
        side=order.side,
        price=order.price,
        quantity=order.quantity,
        depth=Decimal(2),
        volume=Decimal(seconds),
        accepted_us=trade.entry_us,
        leg_out_ms=500,
        filled_us=UNFILLED,
        watched_until_us=trade.entry_us + seconds * MICROSECONDS,
    )


def test_shadows_of_a_lost_history_stay_until_their_order_is_watched_anew(side: Side) -> None:  # noqa: F811
    portfolio = Portfolio(side.client)
    trade = portfolio.opened(1)

    def write(name: str, *shadows: ShadowFill) -> None:
        portfolio.store.commit(Transition(operation_id=name, at_us=portfolio.at_us, shadows=shadows))
        settle(side)

    write("lost", watched(trade, trade.long_order, 9), watched(trade, trade.short_order, 9))
    side.client.delete(keys.OUTBOX_EPOCH)
    assert settle(side).epoch_began
    write("anew", watched(trade, trade.long_order, 5))  # from a checkpoint of before
    until = {row.leg: us_of_datetime(row.watched_until) for row in ShadowFillRow.objects.all()}
    assert until == {"long": trade.entry_us + 5 * MICROSECONDS, "short": trade.entry_us + 9 * MICROSECONDS}
    assert side.verifier().run().differences == []
