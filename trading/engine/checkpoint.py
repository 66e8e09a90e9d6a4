"""What a restart would otherwise forget: queue progress, the last print of each instrument and the evidence of resting
orders, written together.

Acceptance and queue progress become durable with a trade's next transition; the checkpoint carries them until then,
without outbox entries. Only what the shadows of an earlier run had come to goes into the stream with it, once.
"""

from __future__ import annotations

from collections.abc import Mapping

from trading.engine.markets import Market
from trading.engine.portfolio import Portfolio
from trading.engine.witnesses import checkpointed
from trading.stores.errors import StateMoved, StepConflict, StepRefused
from trading.stores.transition import Checkpoint


def write_checkpoint(portfolio: Portfolio, markets: Mapping[str, Market], now_us: int) -> bool:
    """Writes a portfolio's checkpoint if any of its orders or their witnesses moved since the last one; returns whether
    it did.

    Halts the portfolio if its records were changed by somebody else. Raises RedisAway and LeaseLost.
    """
    moved = [working for working in portfolio.working.values() if working.moved]
    portfolio.write_finished(now_us)
    if portfolio.halted:
        return False
    witnesses = checkpointed(portfolio, now_us)
    if not (moved or witnesses or portfolio.cut_off):
        return False
    trades = tuple(filter(None, map(portfolio.current, {working.trade_id: None for working in moved})))
    prints = {market.instrument.id: [market.last_print_id, market.last_print_us] for market in markets.values()}
    progress = {"at_us": now_us, "last_prints": prints}
    try:
        portfolio.store.checkpoint(
            Checkpoint(trades=trades, progress=progress, witnesses=witnesses, shadows=tuple(portfolio.cut_off))
        )
    except (StateMoved, StepConflict, StepRefused) as error:
        portfolio.halt(str(error))
        return False
    portfolio.cut_off = []
    portfolio.trades.update({trade.id: trade for trade in trades})
    for working in moved:
        working.moved = False
    return True
