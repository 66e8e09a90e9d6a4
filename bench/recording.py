"""Recording results in Redis, atomically, against a redis-py pipeline that writes the same hashes and stream entries.

Ours is what an engine does: `PortfolioStore.commit` of results and their metrics, from domain values to two hashes
and two stream entries each, sealed with their row hashes, and compared with what stands there, over the connection that
an engine keeps for its steps. The bare one has all texts made beforehand, and sends those of a step in one pipeline,
MULTI and EXEC, without a look at what is there. Processor seconds of this process and Redis together, which is what an
idle machine takes; short parts in turn, since a busy machine seldom leaves a long one alone.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import redis

from bench.made_results import Made, entries_of, made_results
from bench.measure import Ratio, ratio_of
from bench.processor import processor_seconds
from paperdesk.embedded.redis_server import running_redis
from results.stores.schema import TABLES
from trading.stores import keys
from trading.stores.hashes import hash_of_row
from trading.stores.outbox import Outbox, row_of_text
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.rows import TRADE_RESULT
from trading.stores.transition import Transition

RESULTS = 500
LIMIT = 0.7
Texts = tuple[str, dict[str, str], dict[str, str]]  # key and fields of a hash, fields of its stream entry


def run(turns: int) -> list[Ratio]:
    """Rates in results a second: a hundred in one step, and each in a step of its own."""
    with tempfile.TemporaryDirectory() as folder, running_redis(Path(folder) / "redis") as url:
        client = redis.Redis.from_url(url)
        store = PortfolioStore(client.client(), "strategy", Outbox(TABLES))
        _require_same_bytes(client, store)
        return [
            _rate(client, store, size, 8 * turns, f"recording, {words} in a step")
            for size, words in ((100, "100"), (1, "one"))
        ]


def _rate(client: redis.Redis, store: PortfolioStore, size: int, turns: int, name: str) -> Ratio:
    pairs = []
    for turn in range(turns + 1):
        first = (turns * size + turn) * 4 * RESULTS  # never the same twice
        mine, other = made_results(first, RESULTS), [_texts(*each) for each in made_results(first + RESULTS, RESULTS)]

        def ours(made: list[Made] = mine) -> None:
            for start in range(0, RESULTS, size):
                _commit(store, made[start : start + size])

        def bare(made: list[list[Texts]] = other) -> None:
            for start in range(0, RESULTS, size):
                _pipeline(client, made[start : start + size])

        actions = (ours, bare)
        seconds = {each: processor_seconds(client, actions[each]) for each in ((0, 1) if turn % 2 else (1, 0))}
        pairs.append((RESULTS / seconds[0], RESULTS / seconds[1]))
        client.xtrim(keys.OUTBOX, maxlen=0)
    words = ("PortfolioStore.commit, results and metrics", "redis-py pipeline of the same texts")
    return ratio_of(name, *words, pairs[1:], LIMIT, at_least=True, unit="results/s")


def _commit(store: PortfolioStore, made: list[Made]) -> None:
    operation_id = f"bench:{made[0][0].result_id}"
    results, metrics = tuple(result for result, _ in made), tuple(each for _, each in made)
    store.commit(Transition(operation_id=operation_id, at_us=1, results=results, metrics=metrics))


def _pipeline(client: redis.Redis, made: list[list[Texts]]) -> None:
    pipeline = client.pipeline()
    for texts in made:
        for key, fields, entry in texts:
            mapping: Any = fields
            pipeline.hset(key, mapping=mapping)
            given: Any = entry
            pipeline.xadd(keys.OUTBOX, given)
    pipeline.execute()


def _texts(*made: Any) -> list[Texts]:
    found = []
    for entry in entries_of(*made):
        table = TABLES[entry["table"]]
        key_of = keys.result if table.name == TRADE_RESULT else keys.result_metrics
        found.append((key_of(entry["id"]), hash_of_row(table, row_of_text(table.columns, entry["row"])), entry))
    return found


def _require_same_bytes(client: redis.Redis, store: PortfolioStore) -> None:
    made = made_results(0, 1)
    _commit(store, made)
    stored: Any = client.xrange(keys.OUTBOX)
    for (key, fields, entry), (_, emitted) in zip(
        _texts(*made[0]), sorted(stored, key=lambda each: each[0]), strict=True
    ):
        assert client.hgetall(key) == _encoded(fields)
        assert emitted == _encoded(entry)


def _encoded(fields: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): text.encode() for name, text in fields.items()}
