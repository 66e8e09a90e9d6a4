"""The ClickHouse follower and a server that is killed, stopped, or comes back with less than it confirmed."""

from __future__ import annotations

import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from results.pipeline.clickhouse_tables import NEVER, ClickHouseTables
from results.stores import clickhouse_wire
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from results.stores.marks import Mark
from tests.faults.follower import World
from tests.results.stores.conftest import gate
from tests.results.stores.made import EmbeddedProcess

__all__ = ["gate"]

KILLS = 4
ROWS = 60


class Served:
    """An embedded ClickHouse that can be killed and started again on its folder and port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = EmbeddedProcess(folder)

    def start(self) -> None:
        """Start it again."""
        self.process = EmbeddedProcess(self.folder, self.process.port)
        assert self.process.ready, self.process.errors


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    running = Served(tmp_path / "clickhouse")
    yield running
    running.process.stop()


@pytest.fixture
def world(served: Served, gate: Gate) -> Iterator[World]:
    broken, sound = ClickHouse(served.process.url("desk")), ClickHouse(served.process.url("desk"))
    sound.migrate()
    yield World(gate, broken, sound)
    broken.close()
    sound.close()


def test_a_server_killed_while_it_inserts_has_whole_batches_and_everything_confirmed(
    world: World, served: Served
) -> None:
    chance = random.Random(9)
    for _ in range(KILLS):
        killer = threading.Timer(0.05 + chance.random() * 0.3, served.process.kill)
        killer.start()
        while killer.is_alive():
            world.append(chance, ROWS, range(200))
            world.turn()
        killer.join()
        served.start()
        world.check_watermark()
    world.settle()
    found = world.check_same()  # a batch that grew before it was sent again lies on disk twice until the next merge
    assert found.raw - found.doubled <= world.logged
    assert world.failures


def test_a_stopped_server_holds_up_the_follower_for_its_timeout_only(
    world: World, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clickhouse_wire, "ANSWER_SECONDS_MAX", 1)
    world.append(random.Random(1), ROWS, range(30))
    world.settle()
    world.append(random.Random(2), ROWS, range(30))
    served.process.process.send_signal(signal.SIGSTOP)
    try:
        started = time.monotonic()
        assert not world.turn()
        assert time.monotonic() - started < 10
    finally:
        served.process.process.send_signal(signal.SIGCONT)
    assert "no answer in time" in world.failures[-1]
    world.settle()
    assert world.check_same().doubled == 0


def lose_the_last_part(world: World, served: Served, table: str) -> int:
    """Kill the server and start it without the table's newest part, as a crash without a sync can leave it."""
    query = "SELECT path, rows FROM system.parts WHERE active AND table = {table:String} ORDER BY min_block_number DESC"
    parts = world.sound.rows(query, {"table": table})
    served.process.kill()
    shutil.rmtree(parts[0][0])
    served.start()
    return int(parts[0][1])


@pytest.mark.parametrize("is_known", [True, False])
def test_confirmed_rows_that_a_server_lost_are_sent_again_when_it_is_back(
    world: World, served: Served, is_known: bool
) -> None:
    world.append(random.Random(1), ROWS, range(30))
    world.settle()
    world.append(random.Random(2), ROWS, range(30, 60))
    world.settle()
    assert lose_the_last_part(world, served, "trade_result_log") > 0
    if not is_known:  # by a process that was not there when the server was lost
        world.follower = ClickHouseTables(lambda: world.broken, lambda: world.gate)
    world.append(random.Random(3), 1, [99])  # nothing of what was lost
    world.settle()
    world.check_watermark()
    assert world.check_same().doubled > 0  # sent in other batches, so on disk twice until the next merge; seen once


def test_an_idle_follower_notices_by_the_servers_uptime_alone(world: World, served: Served) -> None:
    def turn() -> int:
        """Writes one row; how often the log's last rows were asked for."""
        asked.clear()
        world.append(random.Random(1), 1, [1])
        world.settle()
        return len(asked)

    is_lacking = world.follower._is_lacking
    asked: list[Mark] = []

    def counted(client: ClickHouse, mark: Mark) -> bool:
        asked.append(mark)
        return is_lacking(client, mark)

    world.follower._is_lacking = counted  # type: ignore[method-assign]
    turn()  # makes the first mark
    time.sleep(1.1)  # uptimes are whole seconds: a server that has just started may be asked more than once
    world.follower._believed_at = NEVER
    assert turn() >= 1
    assert turn() == 0
    served.process.kill()
    served.start()
    world.broken.close()  # no error tells it
    assert turn() >= 1


def test_a_clock_that_was_set_back_does_not_hold_up_the_marks(world: World) -> None:
    world.sound.confirm(Mark(5, "5/1-1/0"), at_us=1_731_000_000_000_000)
    assert world.broken.marks() == [Mark(5, "5/1-1/0")]
    world.broken.confirm(Mark(7, "7/1-1/0"), at_us=1_000_000)
    assert world.broken.marks() == [Mark(7, "7/1-1/0")]


def test_a_forgotten_mark_stays_forgotten(world: World) -> None:
    for seq in (5, 100_005, 200_005):
        world.sound.confirm(Mark(seq, f"{seq}/1-1/0"), at_us=1_731_000_000_000_000)
    world.sound.forget(Mark(5, "5/1-1/0"))
    assert set(world.broken.marks()) == {Mark(5, "5/1-1/0")}
    world.broken.confirm(Mark(100_001, "100001/1-1/0"), at_us=1)
    assert world.broken.marks()[0] == Mark(100_001, "100001/1-1/0")
