"""Two sync workers on the same log at once, killed over and over while clients work: all that was acknowledged arrives
once."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.faults.forked import Program
from tests.faults.lives import Plan
from tests.faults.runs import Run, redis_url_of, seed_or
from tests.results.pipeline.conftest import clickhouse, fresh_clickhouse_url, gate, side
from tests.results.pipeline.made import Side

__all__ = ["clickhouse", "fresh_clickhouse_url", "gate", "side"]

CLIENT_KILLS, BYTES_MAX = 16, 150_000
SYNCER = "tests.faults.syncer"


class Workers:
    """Two of them. `kills` counts their deaths; each began anew at once."""

    def __init__(self, programs: list[Program], seed: int) -> None:
        self._programs = programs
        self._chance = random.Random(f"{seed}/workers")
        self.kills = 0
        for program in programs:
            program.begin(b"{}")

    def shaken(self) -> None:
        """Kill one of them at an instant that comes by chance, or neither."""
        if self._chance.random() < 0.02:
            program = self._chance.choice(self._programs)
            program.kill()
            program.begin(b"{}")
            self.kills += 1


@pytest.fixture
def programs(side: Side, fresh_clickhouse_url: str) -> Iterator[list[Program]]:
    """Two sync workers for the stores of this test."""
    environment = {
        "REDIS_URL": redis_url_of(side),
        "CLICKHOUSE_URL": fresh_clickhouse_url,
        "DUCKDB_PATH": str(side.gate.path),
        "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
    }
    with contextlib.ExitStack() as ending:
        started = [Program(SYNCER, environment) for _ in range(2)]
        for program in started:
            ending.callback(program.end)
        yield started


@pytest.mark.django_db(transaction=True)
def test_two_workers_that_are_killed_over_and_over_carry_everything_over_once(
    side: Side, programs: list[Program], tmp_path: Path
) -> None:
    seed = seed_or(6)
    workers = Workers(programs, seed)
    run = Run(side, Plan(seed, CLIENT_KILLS, bytes_max=BYTES_MAX), tmp_path, workers.shaken)
    run.work()
    for program in programs:
        program.kill()
    assert workers.kills > 1
    run.require_right(run.settled())
