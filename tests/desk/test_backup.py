"""A busy desk backed up, restored in an empty place, and compared: nothing is lost, doubled or half made."""

from __future__ import annotations

import json
import os
import random
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import duckdb
import pytest
import redis
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, connections
from pytest_django import Settings

from paperdesk.archive.backup import make_backup
from paperdesk.archive.container import Manifest, sum_of, unpack
from paperdesk.archive.database import SQLITE
from paperdesk.archive.errors import ArchiveDamaged, BackupRefused, RestoreRefused
from paperdesk.archive.hold import held
from paperdesk.archive.restore import restore_backup
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
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Variables of a shell on a fresh machine; on PostgreSQL with an empty database of the same server."""
    variables = bare(tmp_path / "restored")
    if connection.vendor == SQLITE:
        yield variables
        return
    name = f"restored_{uuid.uuid4().hex}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    yield {**variables, "DATABASE_URL": urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))}
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def here(tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, with the settings of this process pointed at it and at no server."""
    data = tmp_path / "here"
    data.mkdir()
    settings.DATA, settings.DUCKDB_PATH = data, data / "paperdesk.duckdb"
    settings.REDIS_URL = settings.CLICKHOUSE_URL = ""
    monkeypatch.setitem(connection.settings_dict, "NAME", str(data / "paperdesk.sqlite3"))
    return data


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


@pytest.mark.both_databases
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
    assert OutboxStream(client).trim_behind("9999999999999-0") > 0


def contents(folder: Path) -> dict[str, int]:
    """Every file with its size; the lock of a desk is none of it."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "desk.lock")
    return {str(path.relative_to(folder)): path.stat().st_size for path in files}


class Stopper:
    """Presses Ctrl-C when a piece of work has said something for the n-th time."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, _words: str) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_a_backup_that_was_stopped_leaves_nothing(busy: BusyDesk, tmp_path: Path) -> None:
    target = tmp_path / "archives" / "desk.backup"
    target.parent.mkdir()
    for after in range(100):
        stopper = Stopper(after)
        try:
            make_backup(busy.side.client, busy.side.gate, target, stopper)
        except KeyboardInterrupt:
            assert contents(target.parent) == {}
            assert not busy.side.client.exists(keys.lease(keys.BACKUP_LEASE))
        else:
            break
    assert after > 3  # of so many words it was stopped at each; how many there are follows what is copied
    assert list(contents(target.parent)) == ["desk.backup"]
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_restore_that_was_stopped_leaves_nothing(archive: tuple[Path, Manifest], here: Path) -> None:
    for after in range(100):
        stopper = Stopper(after)
        try:
            restore_backup(archive[0], stopper)
        except KeyboardInterrupt:
            assert contents(here) == {}
        else:
            break
    assert stopper.left == 0 and after > 3
    assert {"paperdesk.duckdb", "paperdesk.sqlite3"} < set(contents(here))


def test_what_fails_at_the_last_place_is_taken_back_from_all_others(
    archive: tuple[Path, Manifest], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = here / "not-a-folder"
    blocked.write_text("")
    monkeypatch.setitem(connection.settings_dict, "NAME", str(blocked / "paperdesk.sqlite3"))
    with pytest.raises(OSError):
        restore_backup(archive[0], quiet)
    assert set(contents(here)) == {"not-a-folder"}


def test_an_archive_in_which_a_byte_is_not_what_it_was_is_refused(
    archive: tuple[Path, Manifest], tmp_path: Path
) -> None:
    whole, chance = archive[0].read_bytes(), random.Random(7)
    refused = 0
    for number in range(60):
        place = chance.randrange(len(whole))
        damaged, folder = tmp_path / "damaged", tmp_path / f"unpacked-{number}"
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        folder.mkdir()
        try:
            unpack(damaged, folder)  # what still unpacks was hit in the padding between two files
        except ArchiveDamaged as error:
            assert str(damaged) in str(error)
            refused += 1
        else:
            assert {name: sum_of(folder / name) for name in archive[1].files} == archive[1].files
    assert refused > 30


def test_an_archive_that_was_cut_is_refused_by_the_name_of_what_is_missing(
    archive: tuple[Path, Manifest], tmp_path: Path, here: Path
) -> None:
    whole = archive[0].read_bytes()
    for part in (0.2, 0.5, 0.9):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(ArchiveDamaged, match="not a whole archive|is missing|has the checksum"):
            restore_backup(cut, quiet)
    assert contents(here) == {}


def test_one_changed_file_is_named_with_both_checksums(archive: tuple[Path, Manifest], tmp_path: Path) -> None:
    whole, name = archive[0].read_bytes(), "log/trade_result_log.parquet"
    place = whole.index(name.encode() + b"\0") + 512 + 100  # in the file, behind its header
    archive[0].write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(ArchiveDamaged, match=f"{name} has the checksum [0-9a-f]{{64}}, the manifest says") as refused:
        unpack(archive[0], tmp_path / "unpacked")
    assert archive[1].files[name].sha256 in str(refused.value)


def test_a_place_that_is_not_empty_is_refused_in_one_sentence(
    archive: tuple[Path, Manifest], place: dict[str, str], here: Path, settings: Settings
) -> None:
    restore_backup(archive[0], quiet)
    before = contents(here)
    with pytest.raises(RestoreRefused, match=rf"{here}/redis exists already; restore into an empty folder"):
        restore_backup(archive[0], quiet)
    settings.REDIS_URL = os.environ["REDIS_URL"]
    with pytest.raises(RestoreRefused, match=r"Redis at .* has \d+ keys"):
        restore_backup(archive[0], quiet)
    assert contents(here) == before


def test_a_clickhouse_with_rows_is_refused(
    archive: tuple[Path, Manifest], here: Path, settings: Settings, fresh_clickhouse_url: str
) -> None:
    settings.CLICKHOUSE_URL = fresh_clickhouse_url
    with pytest.raises(RestoreRefused, match="ClickHouse at .* has rows of [a-z_]+ in the database test_"):
        restore_backup(archive[0], quiet)
    assert contents(here) == {}


def test_a_server_of_its_own_gets_what_redis_had(
    archive: tuple[Path, Manifest], busy: BusyDesk, here: Path, settings: Settings, tmp_path: Path
) -> None:
    with running_redis(tmp_path / "other") as url:
        settings.REDIS_URL = url.replace("/0", "/3")
        restore_backup(archive[0], quiet)
        there = redis.Redis.from_url(settings.REDIS_URL)
        assert there.dbsize() == busy.side.client.dbsize()
        assert there.xrange(keys.OUTBOX) == busy.side.client.xrange(keys.OUTBOX)
        assert OutboxStream(there).state() == OutboxStream(busy.side.client).state()
        there.close()
    assert not (here / "redis").exists()


def test_a_backup_does_not_replace_what_is_there(busy: BusyDesk, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("x")
    with pytest.raises(BackupRefused, match=f"{target} exists already"):
        make_backup(busy.side.client, busy.side.gate, target, quiet)
    with pytest.raises(BackupRefused, match=f"{tmp_path / 'nowhere'} is not a folder"):
        make_backup(busy.side.client, busy.side.gate, tmp_path / "nowhere" / "x", quiet)
    assert target.read_text() == "x"


def test_a_log_that_is_compacted_meanwhile_is_copied_once_more(busy: BusyDesk, tmp_path: Path) -> None:
    gate, said = busy.side.gate, list[str]()

    def compact_once(words: str) -> None:
        said.append(words)
        if sum("copying DuckDB" in each for each in said) == 1:
            with gate.write() as connection:
                connection.execute("DELETE FROM paper_trade_log WHERE version = 1").fetchall()

    manifest = make_backup(busy.side.client, gate, tmp_path / "desk.backup", compact_once)
    with gate.read() as connection:
        counted = connection.execute("SELECT count(*) FROM paper_trade_log").fetchall()[0][0]
    assert manifest.rows["paper_trade"] == counted
    assert sum("copying DuckDB" in each for each in said) == 2
