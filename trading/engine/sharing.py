"""What the engine shards of a desk share: the portfolios, with their capital, their state and their metrics.

Each trade is one shard's alone; the state document belongs to all. A step that finds the state moved on is computed
anew from the new one and tried again (compare-and-set), as long as the state went on as an engine moves it: versions
only grow, capital adds up, where the portfolio began stays, and our own trades are still in it. Anything else stops
the portfolio, and in a desk that is not divided every move of somebody else does.
"""

from __future__ import annotations

import random
import time

from trading.domain.shards import WHOLE, Shard
from trading.domain.strategy import Desk
from trading.domain.trades import Trade
from trading.domain.witness import Witness

ATTEMPTS_MAX = 40  # of one step; with four shards that write all the time one in three is lost
PAUSE_SECONDS_MAX = 0.004  # after the first lost race, about as long as a step takes
PAUSE_DOUBLINGS_MAX = 3


class Share:
    """One engine's part in a desk. `desk` is the whole one, as it is in force."""

    def __init__(self, desk: Desk, shard: Shard = WHOLE) -> None:
        self.desk = desk
        self.shard = shard

    @property
    def is_whole(self) -> bool:
        """Whether no other engine moves the portfolios."""
        return self.shard.is_whole

    def has(self, trade: Trade) -> bool:
        """Whether this engine sees the trade through."""
        return self.shard.sees_through(trade.long_order.instrument, trade.symbol, self.desk)

    def has_witness(self, witness: Witness) -> bool:
        """Whether this engine watches on for another one."""
        return self.shard.sees_through(f"{witness.exchange}:{witness.symbol}", witness.symbol, self.desk)

    def pause(self, lost: int) -> None:
        """Waits a moment after so many lost races, so that two engines do not meet again and again."""
        time.sleep(random.uniform(0, PAUSE_SECONDS_MAX * 2 ** min(lost, PAUSE_DOUBLINGS_MAX)))
