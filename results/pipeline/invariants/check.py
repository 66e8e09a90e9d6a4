"""The checker of invariants over a whole desk: every portfolio, and the results of all of them."""

from __future__ import annotations

import msgspec
from redis import Redis

from results.pipeline.invariants.fills import LOST_HISTORY
from results.pipeline.invariants.portfolios import Violation, violations_of
from results.pipeline.invariants.results import result_violations
from results.pipeline.invariants.stream_look import StreamLook
from results.pipeline.invariants.view import view_of
from results.pipeline.verify.hot_rows import portfolio_prefixes
from results.stores.gate import Gate
from trading.stores.keys import PortfolioKeys

DOCUMENTED_PREFIX = "strategy"  # other programs may have made it before any engine did (ruling 20)


class CheckReport(msgspec.Struct, frozen=True):
    """What was looked at, and what does not hold. `waiting` closed trades have yet to be reconciled; `lost_history` are
    durable rows of what Redis lost, which stay beside those of what it has (ruling 29)."""

    portfolios: list[str]
    open_trades: int
    closed_trades: int
    waiting: int
    violations: list[Violation]
    lost_history: list[Violation] = []


def check_invariants(client: Redis, gate: Gate) -> CheckReport:
    """Check every rule in Redis. What has left it is looked for in the Django tables, and what is older than they keep
    in the log. Raises redis.RedisError, django.db.DatabaseError, WarehouseBusy."""
    prefixes = portfolio_prefixes(client)
    if DOCUMENTED_PREFIX not in prefixes and client.exists(PortfolioKeys(DOCUMENTED_PREFIX).state):
        prefixes.append(DOCUMENTED_PREFIX)
    stream = StreamLook(client)
    views = [view_of(client, prefix) for prefix in prefixes]
    waiting = stream.go_on()
    violations = [violation for view in views for violation in violations_of(view)]
    violations += result_violations(client, gate, views, stream, waiting)
    return CheckReport(
        portfolios=prefixes,
        open_trades=sum(len(view.open_trades) for view in views),
        closed_trades=sum(len(view.closed_trades) for view in views),
        waiting=len(waiting),
        violations=[each for each in violations if each.rule != LOST_HISTORY],
        lost_history=[each for each in violations if each.rule == LOST_HISTORY],
    )
