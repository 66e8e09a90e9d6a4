"""The wait for a desk that has ended is over at once."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import pytest
from redis import Redis

from tests.faults.desk import Desk, DeskEnded
from tests.faults.normal import Normal, now_us

LONG_SECONDS = 3_600.0  # longer than any test may last


def test_a_desk_that_ended_is_not_waited_for_and_its_last_line_is_told(tmp_path: Path, redis_client: Redis) -> None:
    desk = Desk(tmp_path)
    normal = Normal(redis_client, desk.address, desk.require_running)
    with contextlib.ExitStack() as ending:
        for proxy in desk.proxies.values():
            ending.enter_context(proxy)
        desk._start("desk", [sys.executable, "-c", "raise SystemExit('no space left on device')"])
        with pytest.raises(DeskEnded, match="desk ended with status 1: no space left on device"):
            normal.wait(now_us(), LONG_SECONDS)


def test_a_desk_that_lives_is_waited_for(redis_client: Redis) -> None:
    normal = Normal(redis_client, "http://127.0.0.1:1", lambda: None)
    _, lacking = normal.wait(now_us(), 0.3)
    assert "no engine has published" in lacking
