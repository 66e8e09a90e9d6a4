"""The embedded ClickHouse as a process: start, end, death, a second one."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import clickhouse_connect
import psutil
import pytest
from clickhouse_connect.driver import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from paperdesk.embedded.ports import free_port
from paperdesk.environment import BASE_DIR
from results.stores.embedded.__main__ import listening
from tests.results.stores.made import EmbeddedProcess

MIB = 1 << 20


def client_of(server: EmbeddedProcess, password: str = "") -> Client:
    return clickhouse_connect.get_client(host="127.0.0.1", port=server.port, password=password)


def test_replies_do_not_wait_for_the_acknowledgement_of_their_beginnings() -> None:
    async def has_no_delay() -> bool:
        told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            told.set_result(bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            writer.close()

        port = free_port()
        async with await asyncio.start_server(answer, sock=listening(port)):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return await told

    assert asyncio.run(has_no_delay())


def test_killed_process_keeps_what_it_acknowledged(embedded: EmbeddedProcess, tmp_path: Path) -> None:
    client = client_of(embedded)
    client.command("CREATE TABLE log (n Int64) ENGINE = MergeTree ORDER BY n")
    for number in range(20):
        client.insert("log", [[number]], column_names=["n"])
    embedded.kill()
    again = EmbeddedProcess(tmp_path / "clickhouse")
    try:
        assert client_of(again).command("SELECT count(), sum(n) FROM log") == ["20", "190"]
    finally:
        again.stop()


def test_process_killed_while_it_inserts_comes_back_with_whole_batches(
    embedded: EmbeddedProcess, tmp_path: Path
) -> None:
    client = client_of(embedded)
    client.command("CREATE TABLE log (n Int64) ENGINE = MergeTree ORDER BY n")
    body = b"\n".join(b"%d" % number for number in range(500_000))
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, str(embedded.port), str(len(body))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert sender.stdin is not None
    assert sender.stdout is not None
    sender.stdin.write(body)
    sender.stdin.close()
    acknowledged = sum(1 for _ in zip(range(3), sender.stdout, strict=False))
    embedded.kill()
    acknowledged += len(sender.stdout.readlines())
    sender.wait(10)
    sender.stdout.close()
    again = EmbeddedProcess(tmp_path / "clickhouse")
    try:
        rows = int(str(client_of(again).command("SELECT count() FROM log")))
    finally:
        again.stop()
    assert rows >= acknowledged * 500_000
    assert rows % 500_000 == 0


SENDER = """
import http.client, sys
body = b"INSERT INTO log SETTINGS max_insert_block_size=1000000 FORMAT TSV\\n" + sys.stdin.buffer.read(int(sys.argv[2]))
try:
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
        connection.request("POST", "/", body)
        if connection.getresponse().status == 200:
            print("ok", flush=True)
except OSError:
    pass
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    server = EmbeddedProcess(tmp_path / "clickhouse")
    server.process.send_signal(number)
    assert server.process.wait(10) == 0
    assert server.stop() == 0


def test_second_process_on_a_directory_is_refused_in_one_sentence(embedded: EmbeddedProcess, tmp_path: Path) -> None:
    second = EmbeddedProcess(tmp_path / "clickhouse")
    assert not second.ready
    assert second.stop() == 2
    assert second.errors.startswith(f"{tmp_path}/clickhouse is in use by another embedded ClickHouse (process ")
    assert second.errors.count("\n") == 1
    assert client_of(embedded).command("SELECT 1") == 1


def test_port_in_use_is_refused_in_one_sentence(embedded: EmbeddedProcess, tmp_path: Path) -> None:
    second = EmbeddedProcess(tmp_path / "other", embedded.port)
    assert second.stop() == 2
    assert second.errors == f"cannot listen on 127.0.0.1:{embedded.port}: Address already in use\n"
    assert not (tmp_path / "other").exists()


def test_password_is_asked_for_when_one_is_set(tmp_path: Path) -> None:
    server = EmbeddedProcess(
        tmp_path / "clickhouse", environment={**os.environ, "EMBEDDED_CLICKHOUSE_PASSWORD": "right"}
    )
    try:
        assert client_of(server, "right").command("SELECT 1") == 1
        with pytest.raises(DatabaseError) as refusal:
            client_of(server, "wrong")
        assert refusal.value.code == 516
    finally:
        server.stop()


def test_idle_process_is_small_and_quiet(embedded: EmbeddedProcess) -> None:
    client_of(embedded).command("SELECT 1")
    time.sleep(1)
    process = psutil.Process(embedded.process.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(3)
    used_fraction = (sum(process.cpu_times()[:2]) - before) / 3
    private = sum(part.anonymous for part in process.memory_maps())  # the rest is the library's file, in the page cache
    assert used_fraction < 0.05
    assert private < 200 * MIB


def test_it_runs_without_django(embedded: EmbeddedProcess) -> None:
    program = "import sys; sys.modules['django'] = None; import results.stores.embedded.__main__"
    assert subprocess.run([sys.executable, "-c", program], cwd=BASE_DIR, timeout=60, check=False).returncode == 0
    loaded = {Path(part.path).name for part in psutil.Process(embedded.process.pid).memory_maps()}
    assert not [name for name in loaded if name.startswith(("libarrow", "_duckdb", "_multiarray_umath"))]


def test_signal_while_a_long_statement_runs_ends_it_within_seconds(tmp_path: Path) -> None:
    server = EmbeddedProcess(tmp_path / "clickhouse")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        statement = b"SELECT sum(sipHash64(number)) FROM numbers(1e13)"
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(statement)}\r\n\r\n".encode()
        connection.sendall(head + statement)
        time.sleep(0.5)
        asked = time.monotonic()
        assert server.stop() == 0
    assert time.monotonic() - asked < 8


@pytest.mark.parametrize("name", ["what?", "a&b"])
def test_directory_that_the_engine_cannot_name_is_refused(tmp_path: Path, name: str) -> None:
    server = EmbeddedProcess(tmp_path / name)
    assert server.stop() == 2
    assert "chdb takes no path with any of" in server.errors


def test_directory_that_is_a_file_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    server = EmbeddedProcess(tmp_path / "file")
    assert server.stop() == 2
    assert server.errors.count("\n") == 1
