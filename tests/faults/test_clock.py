"""The clock of a real process is set while it runs, and nobody else's."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from redis import Redis

from paperdesk.embedded.ports import free_port
from paperdesk.embedded.programs import Child, Program
from paperdesk.embedded.roster import redis_program
from tests.faults import clock

SECONDS_MAX = 60.0


@pytest.mark.skipif(clock.library() is None, reason="libfaketime is missing: apt-get install libfaketime")
def test_a_clock_goes_forward_and_back_while_its_process_runs(tmp_path: Path) -> None:
    its_clock = clock.clock_of(tmp_path / "data", "redis")
    program = redis_program(tmp_path / "data", port := free_port())
    child = Child(Program("redis", program.command, clock.steppable(program.environment, its_clock)), lambda *_: None)
    client = Redis(port=port)
    deadline = time.monotonic() + SECONDS_MAX
    try:
        while not program.ready or not program.ready():
            assert time.monotonic() < deadline and child.status() is None, child.last_line
            time.sleep(0.05)
        assert abs(ahead_seconds(client)) < SECONDS_MAX
        for seconds in (600, -3_600, clock.RIGHT):
            clock.step(its_clock, seconds)
            while abs(ahead_seconds(client) - seconds) > SECONDS_MAX:
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        child.stop(5.0)


def ahead_seconds(client: Redis) -> float:
    seconds, microseconds = client.time()
    return seconds + microseconds / 1e6 - time.time()
