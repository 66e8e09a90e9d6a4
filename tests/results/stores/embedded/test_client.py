"""clickhouse-connect's own behaviour against the embedded ClickHouse, or the server at CLICKHOUSE_URL."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import clickhouse_connect
import pyarrow
import pytest
from clickhouse_connect.driver import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, StreamFailureError

from results.stores.clickhouse_wire import address_of

Connect = Callable[..., Client]
MOMENT = datetime.datetime(2024, 8, 8, 23, 54, 0, 123456, tzinfo=datetime.UTC)
COLUMNS = {
    "id": ("UUID", uuid.UUID(int=7), uuid.UUID(int=2**128 - 1)),
    "text": ("String", "ü\t\\ '\n\0", ""),
    "amount": ("Decimal(38, 12)", Decimal("99999999999999999999999999.999999999999"), Decimal("-0.000000000001")),
    "at": ("DateTime64(6, 'UTC')", MOMENT, datetime.datetime(1900, 1, 1, tzinfo=datetime.UTC)),
    "day": ("Date", datetime.date(2024, 8, 8), datetime.date(1970, 1, 1)),
    "any_day": ("Date32", datetime.date(1900, 1, 1), datetime.date(2299, 12, 31)),
    "flag": ("Bool", True, False),
    "signed": ("Int64", -(2**63), 2**63 - 1),
    "counted": ("UInt64", 2**64 - 1, 0),
    "maybe_text": ("Nullable(String)", None, "x"),
    "maybe_amount": ("Nullable(Decimal(38, 12))", None, Decimal("1.5").quantize(Decimal("1e-12"))),
    "maybe_at": ("Nullable(DateTime64(6, 'UTC'))", None, MOMENT),
}
FIRST = tuple(first for _, first, _ in COLUMNS.values())
SECOND = tuple(second for _, _, second in COLUMNS.values())


@pytest.fixture
def connect(clickhouse_url: str) -> Iterator[Connect]:
    """Clients with the project's address and other options; closed at the end."""
    address = address_of(clickhouse_url)
    clients: list[Client] = []

    def connected(**options: Any) -> Client:
        known = {"host": address.host, "port": address.port, "interface": address.interface}
        login = {"username": address.username, "password": address.password}
        plain = {"tz_mode": "aware", "dedicated_pool": True, "autogenerate_session_id": False}
        client = clickhouse_connect.get_client(**{**known, **login, **plain, **options})
        clients.append(client)
        return client

    yield connected
    for client in clients:
        client.close()


@pytest.fixture
def database(connect: Connect) -> Iterator[str]:
    """A database of this test, with the table `made` of every type."""
    name = f"test_{uuid.uuid4().hex}"
    client = connect()
    client.command(f"CREATE DATABASE {name}")
    columns = ", ".join(f"{column} {kind}" for column, (kind, _, _) in COLUMNS.items())
    client.command(f"CREATE TABLE {name}.made ({columns}) ENGINE = MergeTree ORDER BY id")
    yield name
    client.command(f"DROP DATABASE {name} SYNC")


@pytest.mark.parametrize("compress", [False, "gzip", "lz4", "zstd", True])
def test_every_type_comes_back_as_it_was_in_every_compression(
    connect: Connect, database: str, compress: bool | str
) -> None:
    client = connect(compress=compress, database=database)
    many = [(uuid.UUID(int=1_000 + number), *FIRST[1:]) for number in range(500)]
    client.insert("made", [FIRST, SECOND, *many], column_names=list(COLUMNS))
    found = client.query("SELECT * FROM made ORDER BY toString(id) LIMIT 1").result_rows
    assert found == [FIRST]
    assert client.query("SELECT * FROM made ORDER BY toString(id) DESC LIMIT 1").result_rows == [SECOND]
    assert client.query("SELECT * FROM made WHERE id != {id:UUID}", {"id": SECOND[0]}).row_count == 501


def test_arrow_goes_in_and_comes_out_exact(connect: Connect, database: str) -> None:
    client = connect(database=database)
    given = pyarrow.table(
        {
            "amount": pyarrow.array([Decimal("1.000000000001"), Decimal(-3)], pyarrow.decimal128(38, 12)),
            "at": pyarrow.array([MOMENT, MOMENT], pyarrow.timestamp("us", "UTC")),
            "maybe_text": pyarrow.array([None, "ü"]),
            "signed": pyarrow.array([1, 2], pyarrow.int64()),
        }
    )
    client.insert_arrow("made", given)
    found = client.query_arrow("SELECT amount, at, maybe_text, signed FROM made ORDER BY signed")
    assert found.to_pylist() == given.to_pylist()


@pytest.mark.parametrize("value", ["'; DROP TABLE made; --", "a\\b\tc\nd\0e", "ü€😀", "{id:UUID}", "%s", ""])
def test_parameters_bind_on_the_server_and_are_never_sql(connect: Connect, value: str) -> None:
    assert connect().query("SELECT {given:String}", {"given": value}).result_rows == [(value,)]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("Int64", -(2**63)),
        ("UInt64", 2**64 - 1),
        ("Decimal(38, 12)", Decimal("42500.123456789012")),
        ("DateTime64(6, 'UTC')", MOMENT),
        ("Date32", datetime.date(1900, 1, 1)),
        ("UUID", uuid.UUID(int=7)),
        ("Array(String)", ["a'b", "c"]),
        ("Nullable(String)", None),
    ],
)
def test_parameters_of_every_type_arrive_exact(connect: Connect, kind: str, value: Any) -> None:
    assert connect().query(f"SELECT {{given:{kind}}}", {"given": value}).result_rows == [(value,)]


def test_long_parameters_arrive_whole(connect: Connect) -> None:
    texts = [f"text {number} '\\ü" for number in range(20_000)]  # clickhouse-connect makes a form of it
    found = connect().query("SELECT length({given:Array(String)}), {given:Array(String)}[20000]", {"given": texts})
    assert found.result_rows == [(20_000, texts[-1])]


def test_a_large_result_streams_block_by_block(connect: Connect) -> None:
    client = connect(compress="lz4")
    blocks, total, count = 0, 0, 0
    with client.query_row_block_stream(
        "SELECT number FROM numbers(1000000)", settings={"max_block_size": 65536}
    ) as rows:
        for block in rows:
            blocks, count, total = blocks + 1, count + len(block), total + sum(number for (number,) in block)
    assert (count, total) == (1_000_000, 499_999_500_000)
    assert blocks > 5


def test_an_error_in_the_middle_of_a_stream_is_an_error(connect: Connect) -> None:
    client = connect()
    statement = "SELECT throwIf(number = 900000, 'far in') FROM numbers(1000000)"
    seen = 0
    with (
        pytest.raises(StreamFailureError, match="far in"),
        client.query_row_block_stream(statement, settings={"max_block_size": 10_000, "max_threads": 1}) as rows,
    ):
        for block in rows:
            seen += len(block)
    assert 0 < seen < 1_000_000
    assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    ("statement", "code", "name"),
    [
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT * FROM nowhere", 60, "UNKNOWN_TABLE"),
        ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER"),
    ],
)
def test_errors_have_code_and_name(connect: Connect, statement: str, code: int, name: str) -> None:
    client = connect()
    for ask in (client.query, client.command, client.query_arrow):
        with pytest.raises(DatabaseError) as refusal:
            ask(statement)
        assert (refusal.value.code, refusal.value.name) == (code, name)


def test_a_wrong_database_or_setting_is_refused_by_name(connect: Connect) -> None:
    with pytest.raises(DatabaseError) as refusal:
        connect(database="nowhere").query("SELECT 1")
    assert refusal.value.code == 81
    with pytest.raises(DatabaseError) as refusal:
        connect().query("SELECT 1", settings={"no_such_setting": 1})
    assert refusal.value.code == 115


def test_settings_of_client_and_query_hold_for_theirs_only(connect: Connect) -> None:
    client = connect(settings={"max_block_size": 1000})
    question = "SELECT getSetting('max_block_size')"
    assert client.command(question) == 1000
    assert client.command(question, settings={"max_block_size": 7}) == 7
    assert client.command(question) == 1000


def test_a_ping_says_whether_it_is_there(connect: Connect) -> None:
    assert connect().ping()


def test_many_clients_at_once_have_each_their_own_answers(connect: Connect, database: str) -> None:
    wrong: list[object] = []

    def work(client: Client, number: int) -> None:
        for turn in range(10):
            value = number * 100 + turn
            client.insert("made", [[value]], column_names=["signed"])
            found = client.query(
                "SELECT {value:Int64}, count() FROM made WHERE signed = {value:Int64}", {"value": value}
            )
            if found.result_rows != [(value, 1)]:
                wrong.append(found.result_rows)

    workers = [threading.Thread(target=work, args=(connect(database=database), number)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
    assert connect(database=database).command("SELECT count() FROM made") == 80


def running(client: Client, marker: str) -> int:
    """How many statements with this word in them run, but for the one that asks."""
    query = (
        "SELECT count() FROM system.processes WHERE query LIKE {like:String} AND query NOT LIKE '%system.processes%'"
    )
    return int(client.query(query, {"like": f"%{marker}%"}).result_rows[0][0])


def test_a_question_whose_client_has_left_is_cancelled(connect: Connect) -> None:
    watcher = connect()
    for _ in range(3):  # one that went on would take one of few places
        marker = f"m{uuid.uuid4().hex}"
        impatient = connect(send_receive_timeout=1, query_retries=0)
        with pytest.raises(OperationalError):
            impatient.query(f"SELECT sum(sipHash64(number)) AS {marker} FROM numbers(1e13)")
        impatient.close_connections()
        deadline = time.monotonic() + 20
        while running(watcher, marker) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert running(watcher, marker) == 0


def test_a_stream_that_is_left_in_the_middle_ends(connect: Connect) -> None:
    client, marker = connect(), f"m{uuid.uuid4().hex}"
    with client.raw_stream(f"SELECT number AS {marker} FROM numbers(1e12)", fmt="TabSeparated") as stream:
        assert stream.read(3) == b"0\n1"
    client.close_connections()
    watcher, deadline = connect(), time.monotonic() + 20
    while running(watcher, marker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert running(watcher, marker) == 0
