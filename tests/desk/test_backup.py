"""A busy desk backed up, restored in an empty place, and compared: nothing is lost, doubled or half made."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest
import redis
from django.contrib.auth.models import User
from django.db import DatabaseError, connections

from paperdesk.archive.backup import make_backup
from paperdesk.archive.container import Manifest
from paperdesk.archive.hold import held
from paperdesk.embedded.redis_server import running_redis
from paperdesk.errors import PaperDeskError
from results.pipeline.relay import Relay
from results.pipeline.stream import OutboxStream, order_of
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from results.stores.schema import TABLES
from tests.desk.typed import bare, manage
from tests.results.pipeline.made import NOW_US, Side
from tests.results.pipeline.made_trades import Portfolio
from tests.results.stores.conftest import clickhouse, fresh_clickhouse_url, gate
from trading.config import load_desk
from trading.settings_service import settings_import
from trading.stores import keys
from trading.stores.errors import LeaseHeld

__all__ = ["clickhouse", "fresh_clickhouse_url", "gate"]
pytestmark = pytest.mark.django_db(transaction=True)
TRADES_BEFORE, TRADES_MEANWHILE_MIN = 20, 20

Version = tuple[str, str, int, int]


def quiet(_words: str) -> None:
    """Nobody watches."""


class BusyDesk:
    """A portfolio that trades, and a sync that follows, each in a thread, for as long as the `with` block lasts."""

    def __init__(self, client: redis.Redis, gate: Gate, clickhouse: ClickHouse) -> None:
        self.side = Side(client, gate, clickhouse)
        self.portfolio = Portfolio(client)
        self.traded = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._trade, self._follow)]
        self.failures: list[Exception] = []

    def __enter__(self) -> BusyDesk:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.failures, self.failures

    def trade(self) -> None:
        self.portfolio.closed(self.portfolio.opened(self.traded))
        self.traded += 1

    def wait_for(self, count: int) -> None:
        while self.traded < count and not self.failures:
            self._stop.wait(0.01)

    def _trade(self) -> None:
        self._work(self.trade)

    def _follow(self) -> None:
        self._work(lambda: self.side.sync.once())
        connections.close_all()

    def _work(self, turn: Any) -> None:
        try:
            while not self._stop.is_set():
                turn()
        except (PaperDeskError, redis.RedisError, duckdb.Error, DatabaseError) as error:
            self.failures.append(error)


@pytest.fixture
def busy(redis_client: redis.Redis, gate: Gate, clickhouse: ClickHouse) -> BusyDesk:
    """A desk with a past, of which the stores have everything but the last trade."""
    desk = BusyDesk(redis_client, gate, clickhouse)
    User.objects.create_user("ann", password="x")
    for _ in range(TRADES_BEFORE):
        desk.trade()
    desk.side.settle()
    desk.trade()
    return desk


@pytest.fixture
def archive(busy: BusyDesk, tmp_path: Path) -> tuple[Path, Manifest]:
    """An archive of a desk that is at rest."""
    target = tmp_path / "desk.backup"
    return target, make_backup(busy.side.client, busy.side.gate, target, quiet)


@pytest.fixture
def place(tmp_path: Path) -> dict[str, str]:
    """Variables of a shell on a fresh machine."""
    return bare(tmp_path / "restored")


def versions(gate: Gate) -> dict[Version, str]:
    """Every version in a log, with its stream id; a version that is there twice fails."""
    found: dict[Version, str] = {}
    with gate.read() as connection:
        for name, table in TABLES.items():
            query = f'SELECT CAST("{table.key}" AS VARCHAR), version, row_hash, stream_id FROM {table.log_name}'
            for key, version, row_hash, stream_id in connection.execute(query).fetchall():
                assert (name, key, version, row_hash) not in found
                found[name, key, version, row_hash] = stream_id
    return found


def typed(environment: Mapping[str, str], *words: str) -> dict[str, Any]:
    """The JSON of a command that ends well."""
    done = manage(environment, *words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def test_a_busy_desk_comes_back_with_every_row_of_that_moment(
    busy: BusyDesk, place: dict[str, str], tmp_path: Path, fresh_clickhouse_url: str
) -> None:
    target, data = tmp_path / "desk.backup", Path(place["PAPERDESK_DATA"])
    with busy:
        before = busy.traded
        make_backup(busy.side.client, busy.side.gate, target, quiet)
        busy.wait_for(before + TRADES_MEANWHILE_MIN)
    busy.side.settle()
    assert typed(place, "restore", str(target))["ok"]
    with running_redis(data / "redis") as url:
        there = {**place, "REDIS_URL": url, "CLICKHOUSE_URL": f"{fresh_clickhouse_url}_restored"}
        last_id = OutboxStream(redis.Redis.from_url(url)).state().last_id
        assert order_of(last_id) < order_of(OutboxStream(busy.side.client).state().last_id)
        assert typed(there, "sync_results")["epoch_began"] is False
        assert typed(there, "verify_stores", "--recheck-seconds", "0")["verdict"] == "agree"
        assert typed(there, "check_invariants")["ok"]
    ours = versions(busy.side.gate)
    restored = versions(Gate(data / "paperdesk.duckdb"))
    assert until(restored, last_id) == until(ours, last_id)
    assert len(until(ours, last_id)) < len(ours)


def until(rows: Mapping[Version, str], stream_id: str) -> dict[Version, str]:
    """The versions that came to be no later than an entry of the stream."""
    return {each: at for each, at in rows.items() if order_of(at) <= order_of(stream_id)}


def test_nothing_is_trimmed_or_relayed_while_a_backup_runs(busy: BusyDesk) -> None:
    client = busy.side.client
    settings_import(load_desk(defaults="synthetic"), "ann", NOW_US)
    with held(client) as check:
        with pytest.raises(LeaseHeld, match="backup is held by"), held(client):
            pass
        length = client.xlen(keys.OUTBOX)
        state = OutboxStream(client).state()
        assert Relay(client).once(state.epoch).added == 0
        client.xadd(keys.OUTBOX, {"table": "x"}, id="9999999999999-0")
        assert OutboxStream(client).trim_behind("9999999999999-0") == 0
        assert client.xlen(keys.OUTBOX) == length + 1
        check()
    assert Relay(client).once(state.epoch).added > 0
    assert OutboxStream(client).trim_behind("9999999999999-0") == length
