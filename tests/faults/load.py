"""`python -m tests.faults.load api|foreign LIST SEED PER_SECOND`: a client that keeps writing, and its list of answers.

    api       results, metrics and funding payments through our stores: `RESULTS` ids that are corrected again and again
    foreign   plain HSETs of the documents' hashes, whole ones and changes of a field, as a program in any language does

It reaches Redis by REDIS_URL. What is not answered is sent again, the same, until it is: an acknowledged operation is
one that must be found. It ends after SIGTERM or SIGINT, when what it had begun is acknowledged. LIST is the file of
`tests.faults.acknowledged`; the foreign one, whose versions the sweep gives, has a line `{"key": …, "fields": …}` for
each answer: all fields that the client ever wrote there.
"""

from __future__ import annotations

import datetime
import os
import random
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import django
import msgspec
from redis import Redis
from redis.exceptions import RedisError

if __name__ == "__main__":
    django.setup()  # the tables are Django's models

from paperdesk.tables import TABLES  # noqa: E402
from results.domain.outcomes import ResultMetrics, ResultState, TradeResult  # noqa: E402
from results.domain.units import day_of, iso_of  # noqa: E402
from tests.faults.acknowledged import AcknowledgementList, Outcome, change_of  # noqa: E402
from trading.domain.funding import FundingPayment  # noqa: E402
from trading.domain.orders import Leg  # noqa: E402
from trading.stores import keys, rows  # noqa: E402
from trading.stores.errors import StoreError  # noqa: E402
from trading.stores.outbox import Outbox  # noqa: E402
from trading.stores.portfolio_store import PortfolioStore  # noqa: E402
from trading.stores.transition import Transition  # noqa: E402

PREFIX = "client"
RESULTS = 1_000
RESULTS_PER_STEP, FUNDING_PER_STEP = 10, 80  # most rows are not hot in Redis
ROWS_PER_STEP = 2 * RESULTS_PER_STEP + FUNDING_PER_STEP
FOREIGN_KEYS = 300  # of each table
AGAIN_SECONDS = 0.1
SOCKET_SECONDS_MAX = 3.0
MOVES = {
    ResultState.PENDING: (ResultState.EXECUTED, ResultState.PARTIALLY_FILLED),
    ResultState.PARTIALLY_FILLED: (ResultState.PARTIALLY_FILLED, ResultState.EXECUTED),
    ResultState.EXECUTED: (ResultState.PARTIALLY_FILLED, ResultState.EXECUTED),
}


class Client:
    """Acts at a pace until it is told to stop."""

    def __init__(self, seed: int, redis: Redis) -> None:
        self.chance = random.Random(seed)
        self.redis = redis
        self.stopping = threading.Event()
        self._namespace = uuid.UUID(int=self.chance.getrandbits(128), version=4)

    def name(self, *parts: object) -> str:
        """A UUID that follows from the seed."""
        return str(uuid.uuid5(self._namespace, "/".join(map(str, parts))))

    def price(self) -> Decimal:
        """Some price, quote per base."""
        return Decimal(self.chance.randint(1, 10**9)) / 10_000

    def until_answered(self, call: Callable[[], Any]) -> None:
        """Repeat the call until it is answered; what Redis cannot do now it is asked again."""
        while True:
            try:
                call()
            except (StoreError, RedisError):
                time.sleep(AGAIN_SECONDS)
            else:
                return

    def run(self, act: Callable[[int], None], per_second: float) -> None:
        """Act again and again."""
        number = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            act(number)
            number += 1
            self.stopping.wait(max(0.0, 1 / per_second - (time.monotonic() - began)))


class Recorder(Client):
    """Records through our stores: each step is one operation of the list."""

    def __init__(self, seed: int, redis: Redis, path: Path) -> None:
        super().__init__(seed, redis)
        self.list = AcknowledgementList(path)
        self.store = PortfolioStore(redis, PREFIX, Outbox(TABLES))
        self.days: dict[str, datetime.date] = {}
        self.results: dict[str, TradeResult] = {}

    def act(self, number: int) -> None:
        """One step: some results, new or corrected, with their metrics; and funding payments."""
        now_us = time.time_ns() // 1_000
        chosen = self.chance.sample(range(RESULTS), RESULTS_PER_STEP)
        results = [self._result(each, now_us) for each in chosen]
        metrics = [self._metrics(result, now_us) for result in results]
        funding = [self._funding(number, each, now_us) for each in range(FUNDING_PER_STEP)]
        made = [change_of(rows.TRADE_RESULT, rows.result_row(each, self.days[each.result_id])) for each in results]
        made += [
            change_of(rows.RESULT_METRICS, rows.result_metrics_row(each, self.days[each.result_id])) for each in metrics
        ]
        made += [change_of(rows.FUNDING_PAYMENT, rows.funding_row(each, PREFIX)) for each in funding]
        operation = f"load:{self.name('step', number)}"
        transition = Transition(
            operation_id=operation,
            at_us=now_us,
            results=tuple(results),
            metrics=tuple(metrics),
            funding=tuple(funding),
        )
        self.list.began(operation, made)
        self.until_answered(lambda: self.store.commit(transition))
        self.list.ended(operation, Outcome.ACKNOWLEDGED)
        self.results |= {each.result_id: each for each in results}

    def _result(self, number: int, now_us: int) -> TradeResult:
        result_id = self.name("result", number)
        before = self.results.get(result_id)
        self.days.setdefault(result_id, day_of(now_us))
        return TradeResult(
            result_id=result_id,
            trade_id=self.name("trade", number),
            symbol="BTC/USDT",
            direction="buy",
            lot_size=Decimal("1.5"),
            execution_price=self.price(),
            requested_price=self.price(),
            slippage=self.price(),
            pnl=Decimal(0),
            commission=self.price(),
            fees=Decimal(0),
            state=self.chance.choice(MOVES[before.state]) if before else ResultState.PENDING,
            executed_us=now_us,
            portfolio=PREFIX,
            exchange="binance",
            leg="long",
            role="entry",
            order_id=self.name("order", number),
            filled_quantity=Decimal("1.5"),
            slippage_cost_bps=None,
            version=before.version + 1 if before else 1,
        )

    def _metrics(self, result: TradeResult, now_us: int) -> ResultMetrics:
        latency = self.chance.randint(1, 10**6)
        return ResultMetrics(result.result_id, latency, 1, 2, result.slippage, now_us, PREFIX, None, result.version)

    def _funding(self, number: int, place: int, now_us: int) -> FundingPayment:
        return FundingPayment(
            id=self.name("funding", number, place),
            trade_id=self.name("trade", place),
            exchange="binance",
            symbol="BTC/USDT",
            leg=Leg.LONG,
            settled_us=now_us,
            quantity=Decimal(1),
            mark_price=self.price(),
            rate=Decimal("0.0001"),
            interval_hours=8,
            cash=Decimal(-1),
        )


class Foreigner(Client):
    """Another program, which knows the documents only."""

    def __init__(self, seed: int, redis: Redis, path: Path) -> None:
        super().__init__(seed, redis)
        self.list = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.written: dict[str, dict[str, str]] = {}

    def act(self, number: int) -> None:
        """One HSET: a whole hash where there is none, else a change of some fields."""
        place = self.chance.randrange(3 * FOREIGN_KEYS)
        kind, make = (
            (keys.result, self._result),
            (keys.result_metrics, self._metrics),
            (keys.reconciliation, _breach),
        )[place % 3]
        key = kind(self.name("foreign", place // 3))
        before = self.written.get(key, {})
        fields: dict[Any, Any] = make(before)
        self.until_answered(lambda: self.redis.hset(key, mapping=fields))
        self.written[key] = {**before, **fields}
        os.write(self.list, msgspec.json.encode({"key": key, "fields": self.written[key]}) + b"\n")

    def _result(self, before: dict[str, str]) -> dict[str, str]:
        now = iso_of(time.time_ns() // 1_000)
        if before:
            state = self.chance.choice(MOVES[ResultState(before["state"])])
            return {"state": str(state), "execution_price": str(self.price()), "executed_at": now}
        names = ("execution_price", "requested_price", "slippage", "pnl", "commission", "fees")
        return {
            "trade_id": self.name("trade", self.chance.random()),
            "symbol": "EURUSD",
            "direction": self.chance.choice(("buy", "sell")),
            "lot_size": "1.5",
            **{name: str(self.price()) for name in names},
            "state": "pending",
            "executed_at": now,
        }

    def _metrics(self, before: dict[str, str]) -> dict[str, str]:
        told = {"execution_latency_ms": str(self.chance.randint(1, 10**6)), "slippage": str(self.price())}
        now = iso_of(time.time_ns() // 1_000)
        return told if before else {**told, "broker_latency_ms": "50", "network_latency_ms": "20", "created_at": now}


def _breach(before: dict[str, str]) -> dict[str, str]:
    now = iso_of(time.time_ns() // 1_000)
    number = int(before["discrepancy"]) - 1 if before else -1
    told = {"discrepancy": str(number), "reconciled_at": now}
    return told if before else {**told, "reconciliation_status": "failed", "rejection_reason": "Slippage too high"}


def main(role: str, path: Path, seed: int, per_second: float) -> None:
    """Run one client, which acts so often, until a signal."""
    redis = Redis.from_url(
        os.environ["REDIS_URL"], socket_timeout=SOCKET_SECONDS_MAX, socket_connect_timeout=SOCKET_SECONDS_MAX
    )
    client = Recorder(seed, redis, path) if role == "api" else Foreigner(seed, redis, path)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: client.stopping.set())
    client.run(client.act, per_second)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
