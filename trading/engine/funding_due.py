"""The payments that a trade is due: each settlement since the last one that it was paid for. Source: ruling 13.

Whatever becomes of a trade, its next step books them first (`Portfolio.put`), so that no fill comes between a
settlement and its payment, and the net of an exit has every settlement before it.
"""

from __future__ import annotations

from collections.abc import Mapping

from trading.domain.funding import Basis, FundingPayment, payment
from trading.domain.orders import Leg
from trading.domain.trades import Trade
from trading.engine.markets import Market


def funding_due(
    trade: Trade, markets: Mapping[str, Market], until_us: int, patient: bool = False
) -> tuple[FundingPayment, ...]:
    """What both legs are due up to an instant, in the order of the settlements of each leg.

    Patient: not from the first settlement on that could only be estimated, because the venue may still tell it.
    """
    found: list[FundingPayment] = []
    for leg in Leg:
        market, paid_until_us = markets.get(trade.entry_order(leg).instrument), trade.funding_until_us(leg) or 0
        if market is None:
            continue
        for instant_us in market.terms.between(max(trade.entry_us, paid_until_us), until_us):
            funding, basis = market.terms.at(instant_us)
            term = funding.term
            paid = payment(trade, leg, term.rate, term.interval_hours, funding.mark_price, instant_us, basis)
            if paid is not None and patient and basis is Basis.ESTIMATED:
                break
            found += [paid] if paid is not None else []
    return tuple(found)
