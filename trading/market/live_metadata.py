"""What an exchange says of an instrument against what the settings say. Differences are returned, not raised."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from trading.domain.instruments import Instrument
from trading.market.live_messages import exact

DECIMAL_PLACES, TICK_SIZE = 2, 4  # ccxt's precision modes; there is a third, significant digits, that is no step


def differences(instrument: Instrument, market: dict[str, Any], precision_mode: int) -> list[str]:
    """Sentences for all that would make paper fills differ from what the venue would do; empty if nothing does.

    A lot step that is a multiple of the exchange's is none of it: the exchange would take those orders.
    """
    return list(_differences(instrument, market, precision_mode))


def contract_size_of(market: dict[str, Any]) -> Decimal:
    """Base asset in one unit of the market's amounts."""
    return exact(market.get("contractSize") or 1) if market.get("contract") else Decimal(1)


def _differences(instrument: Instrument, market: dict[str, Any], precision_mode: int) -> Iterator[str]:
    if market.get("active") is False:
        yield "it is not traded at the moment"
    kind = _contract_type(market)
    if kind != instrument.contract_type:
        yield _sentence("contract_type", instrument.contract_type, kind)
        return
    for field, name in (("base_asset", "base"), ("quote_asset", "quote")):
        if market.get(name) and market[name] != getattr(instrument, field):
            yield _sentence(field, getattr(instrument, field), market[name])
    precision = market.get("precision") or {}
    tick = _step(precision.get("price"), precision_mode)
    if tick is not None and tick != instrument.tick_size:
        yield _sentence("tick_size", instrument.tick_size, tick)
    lot = _step(precision.get("amount"), precision_mode)
    if lot is not None and instrument.lot_step % (lot * contract_size_of(market)):
        yield _sentence("lot_step", instrument.lot_step, (lot * contract_size_of(market)).normalize())


def _contract_type(market: dict[str, Any]) -> str:
    if market.get("spot"):
        return "spot"
    margin = "linear" if market.get("linear") else "inverse"
    return f"{margin}_perpetual" if market.get("swap") else str(market.get("type"))


def _step(precision: Any, mode: int) -> Decimal | None:
    """The step that ccxt's precision is; None where it is none or is not told."""
    if precision is None or mode not in (DECIMAL_PLACES, TICK_SIZE):
        return None
    return exact(precision) if mode == TICK_SIZE else Decimal(10) ** -int(precision)


def _sentence(field: str, ours: object, theirs: object) -> str:
    theirs_text = f"{theirs:f}" if isinstance(theirs, Decimal) else str(theirs)
    return f"{field} is {ours} in the settings, {theirs_text} at the exchange"
