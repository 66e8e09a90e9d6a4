"""The HTTP interface by plain HTTP, as ClickHouse has it."""

import gzip
import http.client
import json
import socket
import sys
import time
import zlib
from collections.abc import Callable
from urllib.parse import urlencode, urlsplit

import lz4.frame
import pytest

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Answer = tuple[int, dict[str, str], bytes]
Asker = Callable[..., Answer]


@pytest.fixture
def ask(embedded_clickhouse_url: str) -> Asker:
    """Ask(body, method=, path=, headers=, **parameters) -> status, headers by lower-case name, body."""
    address = urlsplit(embedded_clickhouse_url)

    def asker(
        body: bytes = b"",
        method: str = "POST",
        path: str = "/",
        headers: dict[str, str] | None = None,
        **parameters: str,
    ) -> Answer:
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
        connection.request(method, f"{path}?{urlencode(parameters)}", body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, content

    return asker


@pytest.fixture
def table(ask: Asker) -> str:
    """An empty table `numbers.made` of one Int64."""
    for statement in (
        b"CREATE DATABASE IF NOT EXISTS numbers",
        b"CREATE OR REPLACE TABLE numbers.made (n Int64) ENGINE = MergeTree ORDER BY n",
    ):
        assert ask(statement)[0] == 200
    return "numbers.made"


def count(ask: Asker, table: str) -> int:
    return int(ask(f"SELECT count() FROM {table}".encode())[2])


@pytest.mark.parametrize("path", ["/", "/ping"])
def test_asked_whether_it_is_there_it_says_ok(ask: Asker, path: str) -> None:
    assert ask(method="GET", path=path)[::2] == (200, b"Ok.\n")


def test_answer_names_query_format_time_zone_and_counts(ask: Asker) -> None:
    status, headers, body = ask(b"SELECT number FROM numbers(3) FORMAT JSONEachRow", query_id="mine")
    assert (status, body) == (200, b'{"number":0}\n{"number":1}\n{"number":2}\n')
    assert headers["x-clickhouse-query-id"] == "mine"
    assert headers["x-clickhouse-format"] == "JSONEachRow"
    assert headers["x-clickhouse-timezone"] == "UTC"
    assert json.loads(headers["x-clickhouse-summary"])["read_rows"] == "3"


def test_times_are_utc_whatever_the_machine_thinks(ask: Asker) -> None:
    assert ask(b"SELECT timezone()")[2] == b"UTC\n"


@pytest.mark.parametrize(
    ("statement", "parameters", "status", "code", "name"),
    [
        (b"SELECT * FROM nowhere", {}, 404, "60", "UNKNOWN_TABLE"),
        (b"SELECT 1", {"database": "nowhere"}, 404, "81", "UNKNOWN_DATABASE"),
        (b"SELEC 1", {}, 400, "62", "SYNTAX_ERROR"),
        (b"SELECT 1", {"no_such_setting": "1"}, 404, "115", "UNKNOWN_SETTING"),
        (b"SELECT 1", {"no_such setting": "1"}, 404, "115", "UNKNOWN_SETTING"),
        (b"SELECT throwIf(1)", {}, 500, "395", "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        (b"SELECT sum(sipHash64(number)) FROM numbers(1e12)", {"max_execution_time": "0.1"}, 408, "159", "TIMEOUT"),
    ],
)
def test_errors_have_clickhouses_code_and_an_http_status(
    ask: Asker, statement: bytes, parameters: dict[str, str], status: int, code: str, name: str
) -> None:
    found, headers, body = ask(statement, **parameters)
    assert (found, headers["x-clickhouse-exception-code"]) == (status, code)
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert name.encode() in body


def test_parameters_are_values_and_never_sql(ask: Asker) -> None:
    text = "x'; DROP TABLE y; --"
    assert ask(b"SELECT {given:String}", param_given=text)[2] == text.replace("'", "\\'").encode() + b"\n"


def test_settings_and_database_end_with_their_request(ask: Asker) -> None:
    question = b"SELECT getSetting('max_threads'), currentDatabase()"
    assert ask(question, max_threads="1", database="system")[2] == b"1\tsystem\n"
    assert ask(question)[2] == b"2\tdefault\n"


def test_get_cannot_write(ask: Asker, table: str) -> None:
    status, headers, _ = ask(method="GET", query=f"TRUNCATE TABLE {table}")
    assert (status, headers["x-clickhouse-exception-code"]) == (403, "164")
    assert ask(method="GET", query="SELECT 1")[2] == b"1\n"


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example:80"}]
)
def test_a_web_page_gets_no_answer(ask: Asker, headers: dict[str, str]) -> None:
    assert ask(b"SELECT 1", headers=headers)[0] == 403


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("lz4", lz4.frame.compress),
        ("zstd", zstd.compress),
    ],
)
def test_encoded_body_in_several_frames_is_inserted(
    ask: Asker, table: str, encoding: str, encode: Callable[[bytes], bytes]
) -> None:
    body = encode(b"1\n2\n") + encode(b"3\n")
    answer = ask(body, headers={"Content-Encoding": encoding}, query=f"INSERT INTO {table} FORMAT TSV")
    assert answer[0] == 200, answer
    assert ask(f"SELECT sum(n) FROM {table}".encode())[2] == b"6\n"


def test_body_cut_within_its_encoding_inserts_nothing(ask: Asker, table: str) -> None:
    body = gzip.compress(b"1\n2\n")[:-6]
    status, headers, _ = ask(body, headers={"Content-Encoding": "gzip"}, query=f"INSERT INTO {table} FORMAT TSV")
    assert (status, headers["x-clickhouse-exception-code"]) == (500, "271")
    assert count(ask, table) == 0


def test_unknown_encoding_is_refused_by_name(ask: Asker) -> None:
    assert b"'rot13'" in ask(b"SELECT 1", headers={"Content-Encoding": "rot13"})[2]


def test_insert_is_in_the_body_or_its_head_in_the_query(ask: Asker, table: str) -> None:
    assert ask(f"INSERT INTO {table} FORMAT TSV\n1\n2\n".encode())[0] == 200
    assert ask(b"3\n", query=f"INSERT INTO {table} FORMAT TSV")[0] == 200
    assert ask(b"(4), (5)", query=f"INSERT INTO {table} VALUES")[0] == 200
    assert ask(f"INSERT INTO {table} SELECT 6".encode())[0] == 200
    assert ask(f"SELECT groupArraySorted(9)(n) FROM {table}".encode())[2] == b"[1,2,3,4,5,6]\n"


def test_body_past_the_bound_in_memory_is_inserted_whole(ask: Asker, table: str) -> None:
    numbers = b"\n".join(b"%d" % number for number in range(1_000_000, 1_900_000))  # 7.2 MB, 4 MiB are in memory
    status, headers, _ = ask(numbers, query=f"INSERT INTO {table} FORMAT TSV")
    assert status == 200
    assert json.loads(headers["x-clickhouse-summary"])["written_rows"] == "900000"
    assert count(ask, table) == 900_000


def test_malformed_bytes_insert_nothing(ask: Asker, table: str) -> None:
    status, headers, _ = ask(f"INSERT INTO {table} FORMAT Native\n\x01\x01".encode())
    assert (status, headers["x-clickhouse-exception-code"]) == (500, "32")
    assert count(ask, table) == 0


def test_cut_connection_inserts_nothing(ask: Asker, table: str, embedded_clickhouse_url: str) -> None:
    address = urlsplit(embedded_clickhouse_url)
    body = f"INSERT INTO {table} FORMAT TSV\n1\n".encode()
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body) + 2}\r\n\r\n".encode()
    with socket.create_connection((str(address.hostname), address.port)) as connection:
        connection.sendall(head + body)
        time.sleep(0.1)
    time.sleep(0.1)
    assert count(ask, table) == 0


def form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A multipart body of parts (disposition, value), and its header."""
    lines = [
        b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (name.encode(), value) for name, value in parts
    ]
    return b"".join(lines) + b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}


def test_statement_and_parameters_may_be_a_form(ask: Asker) -> None:
    value = "ü\t'\n\n" + "x" * 100_000
    escaped = value.replace("\t", "\\t").replace("\n", "\\n")
    body, headers = form(
        ('name="query"', b"SELECT length({given:String}), {given:String} = {same:String}"),
        ('name="param_given"', escaped.encode()),
        ('name="param_same"', escaped.encode()),
    )
    assert ask(body, headers=headers, default_format="CSV")[2] == b"%d,1\n" % len(value.encode())


def test_external_data_is_refused_with_not_implemented(ask: Asker) -> None:
    body, headers = form(('name="query"', b"SELECT 1"), ('name="data"; filename="data"', b"1\n"))
    status, answered, _ = ask(body, headers=headers)
    assert (status, answered["x-clickhouse-exception-code"]) == (501, "48")


def test_a_statement_that_is_no_text_is_refused(ask: Asker) -> None:
    status, headers, _ = ask(b"SELECT '\xff'")
    assert (status, headers["x-clickhouse-exception-code"]) == (501, "48")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x00" * 300,
    ],
)
def test_malformed_http_is_refused_and_harms_nobody(
    ask: Asker, embedded_clickhouse_url: str, request_bytes: bytes
) -> None:
    address = urlsplit(embedded_clickhouse_url)
    with socket.create_connection((str(address.hostname), address.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        assert connection.recv(1_000).startswith(b"HTTP/1.1 400 ")
    assert ask(b"SELECT 1")[2] == b"1\n"


@pytest.mark.parametrize("encoding", ["gzip", "lz4", "zstd", "deflate"])
def test_an_answer_is_encoded_only_for_a_client_that_asks(ask: Asker, encoding: str) -> None:
    headers = {"Accept-Encoding": f"br, {encoding};q=0.5"}
    question = b"SELECT 'again' FROM numbers(1000)"
    plain = ask(question)[2]
    assert ask(question, headers=headers)[2] == plain
    for waiting in ("0", "1"):
        found = ask(question, headers=headers, enable_http_compression="1", wait_end_of_query=waiting)
        assert found[1]["content-encoding"] == encoding
        assert len(found[2]) < len(plain)
