"""What a leg-out cost. Source: ruling 11. Amounts in quote asset, positive = a loss."""

from __future__ import annotations

from decimal import Decimal

from trading.domain.orders import Leg
from trading.domain.units import round12


def unwind_loss(leg: Leg, filled_price: Decimal, hedge_price: Decimal, quantity: Decimal, fees: Decimal) -> Decimal:
    """Loss of closing the filled leg at `hedge_price`; `fees` are those of the hedge order."""
    return round12(leg.direction * (filled_price - hedge_price) * quantity + fees)


def completion_loss(
    missing_leg: Leg, intended_price: Decimal, hedge_price: Decimal, quantity: Decimal, fees: Decimal
) -> Decimal:
    """Loss of taking the missing leg at `hedge_price` instead of its limit price."""
    return round12(missing_leg.direction * (hedge_price - intended_price) * quantity + fees)
