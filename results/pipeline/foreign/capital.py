"""Whether trades of other programs break the conservation of capital; a portfolio in which they do opens no trades.

    available_capital + sum(position_size_usd of open trades) == what the portfolio owns        (ruling 16)

The reason stands in `paperdesk:holds` until it adds up again. The engine is told by a command, again at each look while
it lasts, because an engine that starts does not know of it. Source: ruling 22.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import cast

from redis import Redis

from results.domain.units import ZERO, plain, text_of
from trading.domain.portfolio import PortfolioState
from trading.stores import wire
from trading.stores.connection import members_of, raw_of, raws_of
from trading.stores.errors import WireError
from trading.stores.holds import Holds
from trading.stores.keys import PortfolioKeys, id_of
from trading.stores.sweep_store import Found
from trading.stores.wire.trade import FOREIGN

READS_MAX = 3  # a portfolio that moves on while it is read is read again this often, then at the next pass


class Capital:
    """Holds and releases portfolios."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._kept = Holds(client)
        self._holds: dict[str, str] | None = None

    def check(self, standing: Iterable[Found]) -> None:
        """Check the portfolios in which these open trades of other programs stand, and those that are held."""
        foreign: dict[str, set[str]] = {}
        for found in standing:
            foreign.setdefault(found.prefix, set()).add(id_of(found.key))
        if self._holds is None or foreign:
            self._holds = self._kept.of_capital()
        holds = self._holds
        for prefix in sorted(foreign.keys() | holds.keys()):
            known, reason = self._reason(prefix, foreign.get(prefix, set()))
            if known and (reason or prefix in holds):
                self._kept.set_capital(prefix, reason)
                self._holds = None

    def _reason(self, prefix: str, foreign: set[str]) -> tuple[bool, str | None]:
        """Whether it could be found out, and why the portfolio's capital does not add up."""
        place = PortfolioKeys(prefix)
        for _ in range(READS_MAX):
            raw = raw_of(self._client, place.state)
            if raw is None:
                return True, None
            try:
                state = wire.decode_state(raw, place.state)
                ids = members_of(self._client, place.active_trades) | foreign | set(state.active_trades)
                records = raws_of(self._client, [place.active_trade(each) for each in sorted(ids)])
                reason = unbalanced(state, place, sorted(ids), records)
            except WireError:
                return True, None  # an engine that cannot read its state opens nothing
            if cast("bytes | None", self._client.get(place.state)) == raw:
                return True, reason
        return False, None


def unbalanced(
    state: PortfolioState, place: PortfolioKeys, ids: Sequence[str], records: Sequence[bytes | None]
) -> str | None:
    """Why the open trades that can be read, and what is available, do not come to what the portfolio owns."""
    open_trades = []
    for each, raw in zip(ids, records, strict=True):
        with contextlib.suppress(WireError):  # a dead letter, if another program wrote it
            if raw is not None:
                open_trades.append(wire.decode_trade(raw, place.active_trade(each), place.prefix))
    held = sum((trade.position_size_usd for trade in open_trades if trade.is_open), ZERO)
    if state.available_capital + held == state.owned:
        return None
    theirs = sum(trade.origin == FOREIGN for trade in open_trades)
    return (
        f"{theirs} of {len(open_trades)} open trades are of other programs: available "
        f"{_usd(state.available_capital)} + open trades {_usd(held)} USD is not {_usd(state.owned)} USD"
    )


def _usd(value: object) -> str:
    return text_of(plain(value))  # type: ignore[arg-type]
