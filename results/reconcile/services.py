"""What people may ask about reconciling trades once more. Apart from `results.services`, so that the web need not load
the stores; the worker of the warehouse does it, in turns (`results.pipeline.reconcile.turns`).
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import Any, cast

from django.db import transaction
from redis import Redis

from paperdesk import roles
from results.audit.trail import Deed, audit_add
from results.domain.errors import PaperDeskError
from results.domain.units import DAY_US, day_start_us
from results.models import TradeReconciliation
from results.pipeline.reconcile.asked import Asked, ask, asked_now, count_closed
from trading import wiring
from trading.stores import keys
from trading.stores.connection import answering

SUBJECT = "trade_reconciliation"
TRADES_AT_ONCE_MAX = 200


class ReconcileRefused(PaperDeskError):
    """It was not asked for; `field` is the form's."""

    def __init__(self, sentence: str, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


class ReconcileForbidden(ReconcileRefused):
    """Whoever asks may not."""


def portfolios_known() -> list[str]:
    """The portfolios that trades may be of. Raises RedisAway."""
    with answering("a look at the portfolios"):
        return sorted(each.decode() for each in cast("list[bytes]", _client().hkeys(keys.PORTFOLIOS)))


def reconcile_asked() -> Asked | None:
    """What is under way or was done last. Raises RedisAway."""
    with answering("a look at what is reconciled again"):
        return asked_now(_client())


def reconcile_ask(
    first: datetime.date, last: datetime.date, portfolios: Sequence[str], user: Any, now_us: int
) -> Asked:
    """Have the trades reconciled once more that were closed on these UTC days, both included; of all portfolios if
    none is named.

    Raises ReconcileForbidden, ReconcileRefused (with the form's field), RedisAway.
    """
    if first > last:
        raise ReconcileRefused(f"from {first} is after to {last}", "last")
    known = portfolios_known()
    if unknown := [name for name in portfolios if name not in known]:
        there_are = ", ".join(known) or "none"
        raise ReconcileRefused(f"portfolio {unknown[0]} is not known; there is {there_are}", "portfolios")
    chosen = tuple(portfolios or known)
    with answering("a count of closed trades"):
        of = count_closed(_client(), chosen, day_start_us(first), day_start_us(last) + DAY_US)
    wanted = Asked(by=user.get_username(), at_us=now_us, first=first, last=last, portfolios=chosen, of=of)
    return _ask(wanted, user)


def reconcile_ask_trades(trades: Sequence[uuid.UUID], user: Any, now_us: int) -> Asked:
    """Have these trades reconciled once more. Raises like `reconcile_ask`."""
    found = TradeReconciliation.objects.filter(pk__in=trades).values_list("trade_id", "portfolio")
    pairs = tuple((str(trade_id), portfolio) for trade_id, portfolio in found[: TRADES_AT_ONCE_MAX + 1] if portfolio)
    if not pairs:
        raise ReconcileRefused("none of these trades has a portfolio: nothing to reconcile")
    if len(pairs) > TRADES_AT_ONCE_MAX:
        raise ReconcileRefused(f"more than {TRADES_AT_ONCE_MAX} trades at once: choose a period instead")
    return _ask(Asked(by=user.get_username(), at_us=now_us, trades=pairs, of=len(pairs)), user)


def _ask(wanted: Asked, user: Any) -> Asked:
    if not roles.may_command(user):
        raise ReconcileForbidden("only staff and administrators have trades reconciled again")
    told = {
        "from": wanted.first and wanted.first.isoformat(), "to": wanted.last and wanted.last.isoformat(),
        "portfolios": wanted.portfolios, "trades": [trade_id for trade_id, _ in wanted.trades],
    }  # fmt: skip
    with transaction.atomic(), answering("a reconciliation"):
        audit_add([Deed("reconciling asked", SUBJECT, None, told)], wanted.at_us, wanted.by)
        stands = ask(_client(), wanted)
        if stands != wanted:
            raise ReconcileRefused(f"{stands.by} has trades reconciled already, {stands.done} are done; wait for it")
    return wanted


def _client() -> Redis:
    return wiring.page_redis_client()
