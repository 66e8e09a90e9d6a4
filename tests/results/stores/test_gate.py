"""The gate, with readers and writers in processes of their own."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from paperdesk.environment import BASE_DIR
from results.stores.failures import WarehouseBusy, WarehouseMissing
from results.stores.gate import Gate

READ_UNTIL_STOPPED = """
import sys, time
from pathlib import Path
from results.stores.gate import Gate
gate, stop, count = Gate(Path(sys.argv[1])), Path(sys.argv[2]), 0
while not stop.exists():
    with gate.read() as connection:
        connection.execute("SELECT count(*) FROM made").fetchall()
        time.sleep(0.1)  # so that one of them is always in
        count += 1
        if count == 1:
            print("begins", flush=True)
print(count)
"""
WRITE_AND_STAY = """
import sys, time
from pathlib import Path
from results.stores.gate import Gate
with Gate(Path(sys.argv[1])).write() as connection:
    connection.execute("INSERT INTO made VALUES (1)").fetchall()
    print("written", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def made(tmp_path: Path) -> Gate:
    gate = Gate(tmp_path / "made.duckdb", wait_seconds_max=5)
    with gate.write() as connection:
        connection.execute("CREATE TABLE made (n BIGINT)").fetchall()
    return gate


def started(program: str, *arguments: str) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments], cwd=BASE_DIR, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() in ("begins", "written")
    return child


def count(gate: Gate) -> int:
    with gate.read() as connection:
        return int(connection.execute("SELECT count(*) FROM made").fetchall()[0][0])


def test_writer_gets_its_turns_among_hot_readers_of_other_processes(made: Gate, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    readers = [started(READ_UNTIL_STOPPED, str(made.path), str(stop)) for _ in range(4)]
    try:
        for number in range(10):  # without the turnstile the first waits until the readers end: WarehouseBusy
            with made.write() as connection:
                connection.execute("INSERT INTO made VALUES (?)", [number]).fetchall()
    finally:
        stop.touch()
        read = [int(reader.communicate(timeout=20)[0]) for reader in readers]
    assert count(made) == 10
    assert min(read) > 1


def test_while_somebody_writes_others_wait_and_then_hear_why(made: Gate) -> None:
    writer = started(WRITE_AND_STAY, str(made.path))
    hasty = Gate(made.path, wait_seconds_max=0.2)
    try:
        for way in (hasty.read, hasty.write):
            with pytest.raises(WarehouseBusy, match=r"made\.duckdb was not free within 0\.2 s"), way():
                pass
    finally:
        writer.kill()
        writer.communicate()


def test_writer_waits_for_a_reader_of_its_own_process(made: Gate) -> None:
    hasty = Gate(made.path, wait_seconds_max=0.1)
    with made.read(), pytest.raises(WarehouseBusy), hasty.write():
        pass
    with hasty.write() as connection:
        connection.execute("INSERT INTO made VALUES (1)").fetchall()
    assert count(made) == 1


def test_rows_of_a_killed_writer_are_there_if_they_were_committed(made: Gate) -> None:
    writer = started(WRITE_AND_STAY, str(made.path))
    writer.kill()
    writer.communicate()
    assert count(made) == 1


def test_foreign_process_that_does_not_use_the_gate_is_named(made: Gate) -> None:
    program = (
        "import duckdb, sys, time\n"
        "connection = duckdb.connect(sys.argv[1]); print('begins', flush=True); time.sleep(60)"
    )
    foreign = started(program, str(made.path))
    try:
        with pytest.raises(WarehouseBusy, match=f"PID {foreign.pid}"), Gate(made.path, 0.2).read():
            pass
    finally:
        foreign.kill()
        foreign.communicate()


def test_two_readers_are_in_at_once(made: Gate) -> None:
    with made.read() as first, made.read() as second:
        assert first.execute("SELECT 1").fetchall() == second.execute("SELECT 1").fetchall()


def test_reader_cannot_write(made: Gate) -> None:
    with made.read() as connection, pytest.raises(duckdb.InvalidInputException):
        connection.execute("INSERT INTO made VALUES (1)").fetchall()
    assert count(made) == 0


def test_reading_what_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(WarehouseMissing, match="warehouse migrate"), Gate(tmp_path / "none.duckdb").read():
        pass
    assert not list(tmp_path.iterdir())


def test_connection_is_closed_after_an_error_inside(made: Gate) -> None:
    with pytest.raises(ZeroDivisionError), made.write():
        raise ZeroDivisionError
    assert count(made) == 0


def test_nothing_of_one_use_is_left_for_the_next(made: Gate, tmp_path: Path) -> None:
    other = Gate(tmp_path / "other.duckdb")
    with made.write() as connection:
        connection.execute("CREATE TEMP TABLE passing (n BIGINT)").fetchall()
        connection.execute("SET memory_limit = '100MB'").fetchall()
        connection.begin()
        connection.execute("INSERT INTO made VALUES (1)").fetchall()
    with other.write() as connection:
        tables = connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        limit = connection.execute("SELECT current_setting('memory_limit')").fetchall()
    assert tables == []
    assert limit == [("244.1 MiB",)]
    assert count(made) == 0


def test_a_file_is_free_for_others_as_soon_as_it_is_left(made: Gate) -> None:
    with made.write() as connection:
        connection.execute("INSERT INTO made VALUES (1)").fetchall()
    program = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('INSERT INTO made VALUES (2)')"
    subprocess.run([sys.executable, "-c", program, str(made.path)], check=True, timeout=30)
    assert count(made) == 2


def test_a_process_that_was_forked_opens_the_file_with_a_duckdb_of_its_own(made: Gate) -> None:
    program = f"""
import os, sys
from pathlib import Path
from results.stores.gate import Gate
gate = Gate(Path({str(made.path)!r}))
with gate.write() as connection:
    connection.execute("INSERT INTO made VALUES (1)").fetchall()
child = os.fork()
with gate.write() as connection:
    connection.execute("INSERT INTO made VALUES (?)", [2 if child else 3]).fetchall()
if not child:
    os._exit(0)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    subprocess.run([sys.executable, "-c", program], cwd=BASE_DIR, check=True, timeout=60)
    with made.read() as connection:
        assert connection.execute("SELECT n FROM made ORDER BY n").fetchall() == [(1,), (2,), (3,)]
