"""Four processes that open trades in one portfolio at once, against one process that has it to itself: with the
documents' plain commands, which check nothing, and with the very step of the four.

None of them holds a lease: only the comparison inside the atomic step keeps them apart. Each reads state and metrics,
computes the opening, and writes the engine's own step; one that comes too late reads again. All go on until the
capital is spent, so that every dollar can be counted afterwards.
"""

from __future__ import annotations

import multiprocessing
import random
import tempfile
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from multiprocessing.pool import Pool
from pathlib import Path
from typing import cast

import redis

from bench.history import with_new_ids
from bench.measure import Ratio, ratio_of
from bench.monitor_tick import NOW_US, SIZE_USD, open_trade
from paperdesk.embedded.redis_server import running_redis
from paperdesk.tables import TABLES
from trading.config import load_desk
from trading.domain.errors import InsufficientCapital
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade
from trading.stores import wire
from trading.stores.errors import StepConflict
from trading.stores.floors import NO_FLOORS
from trading.stores.held import Held, Surroundings
from trading.stores.keys import PortfolioKeys
from trading.stores.outbox import Outbox
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.step import StepRunner
from trading.stores.transition import Transition
from trading.stores.transition_step import TransitionStep

PROCESSES = 4
OPENINGS = 400
CAPITAL = SIZE_USD * OPENINGS + SIZE_USD / 2  # the last half of a position must stay
LIMIT = 0.3
PAUSE_SECONDS_MAX = 0.004  # after a lost race; about as long as one opening takes
PAUSE_DOUBLINGS_MAX = 3

Opening = Callable[[redis.Redis, PortfolioKeys, Trade, Outbox, StepRunner], None]


def run(turns: int) -> list[Ratio]:
    """Three ratios: twice the rate at which openings succeed, and dollars allocated of those that there are."""
    rates, steps, dollars = [], [], []
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder)) as url:
        client = redis.Redis.from_url(url)
        with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
            for _ in range(turns + 1):
                plain, _ = race(client, pool, url, 1, open_plainly)
                alone, _ = race(client, pool, url, 1, open_atomically)
                crowd, allocated = race(client, pool, url, PROCESSES, open_atomically)
                rates.append((crowd, plain))
                steps.append((crowd, alone))
                dollars.append((float(allocated), float(CAPITAL - SIZE_USD / 2)))
    words, unit = f"{PROCESSES} processes at once", "openings/s"
    loop = "one process: GET state, compute, SET trade, SADD, SET state"
    return [
        ratio_of("opening, rate", words, loop, rates[1:], limit=LIMIT, at_least=True, unit=unit),
        ratio_of("opening, rate, atomic step", words, "one process alone, the same step", steps[1:], unit=unit),
        ratio_of("opening, allocated", words, "capital for whole positions", dollars, limit=1.0, unit="USD"),
    ]


def race(client: redis.Redis, pool: Pool, url: str, processes: int, opening: Opening) -> tuple[float, Decimal]:
    """Openings a second until the capital is spent, and how much was allocated. Raises AssertionError if the books
    do not agree with each other."""
    client.flushall()
    strategy = load_desk(defaults="synthetic").strategies[0]
    PortfolioStore(client, strategy.prefix, Outbox(TABLES)).create(PortfolioState.new(CAPITAL, NOW_US))
    spans = pool.starmap(open_until_spent, [(url, processes, opening)] * processes, chunksize=1)
    seconds = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    opened = sum(count for _, _, count in spans)
    return opened / seconds, allocated_of(client, PortfolioKeys(strategy.prefix), opened)


def open_until_spent(url: str, processes: int, opening: Opening) -> tuple[float, float, int]:
    """What each process does: opens trades while there is capital. (Start and end on the machine's monotonic clock,
    how many it opened.)"""
    client = redis.Redis.from_url(url)
    strategy = load_desk(defaults="synthetic").strategies[0]
    keys, outbox, runner = PortfolioKeys(strategy.prefix), Outbox(TABLES), StepRunner(client)
    model = open_trade(strategy)
    client.incr("ready")
    while int(cast(bytes, client.get("ready"))) < processes:
        time.sleep(0.001)
    started, opened, lost = time.monotonic(), 0, 0
    while True:
        try:
            opening(client, keys, with_new_ids(model), outbox, runner)
        except InsufficientCapital:
            return started, time.monotonic(), opened
        except StepConflict:
            lost = min(lost + 1, PAUSE_DOUBLINGS_MAX)
            time.sleep(random.uniform(0, PAUSE_SECONDS_MAX * 2**lost))
        else:
            opened, lost = opened + 1, 0


def open_plainly(client: redis.Redis, keys: PortfolioKeys, trade: Trade, *_: object) -> None:
    """The documents' "Entry Execution", command by command. Two of it at once would lose each other's dollars."""
    state_raw = cast(bytes, client.get(keys.state))
    after = wire.decode_state(state_raw, keys.state).opened(trade)
    client.set(keys.active_trade(trade.id), wire.encode_trade(trade))
    client.sadd(keys.active_trades, trade.id)
    client.set(keys.state, wire.encode_state(after, state_raw))


def open_atomically(client: redis.Redis, keys: PortfolioKeys, trade: Trade, outbox: Outbox, runner: StepRunner) -> None:
    """The engine's step, computed from what was read just now. Raises StepConflict if somebody was faster."""
    state_raw, metrics_raw = cast(list[bytes], client.mget(keys.state, keys.metrics))
    state = wire.decode_state(state_raw, keys.state)
    building = TransitionStep(keys, outbox, Held(state_raw, state), Surroundings(metrics_raw, {}), NO_FLOORS)
    after = state.opened(trade)
    transition = Transition(operation_id=str(uuid.uuid4()), at_us=NOW_US, state=after, trades=(trade,))
    runner.run(building.of(transition))


def allocated_of(client: redis.Redis, keys: PortfolioKeys, opened: int) -> Decimal:
    """The sum of all open positions in USD, after every book of the portfolio was compared with the others."""
    state = wire.decode_state(cast(bytes, client.get(keys.state)), keys.state)
    listed = {member.decode() for member in cast(set[bytes], client.smembers(keys.active_trades))}
    records = cast(list[bytes], client.mget([keys.active_trade(each) for each in listed]))
    total = sum((wire.decode_trade(raw, keys.state, keys.prefix).position_size_usd for raw in records), Decimal(0))
    state.require_conserved()
    if not (len(listed) == len(state.active_trades) == opened and total == state.total_open_positions):
        raise AssertionError(f"{opened} opened, {len(listed)} listed, {total} USD in trades, state: {state}")
    return total
