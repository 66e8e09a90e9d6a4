"""The worker of the queue `warehouse`, a real process."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping

from redis import Redis

from paperdesk.embedded import roster
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from trading.stores import keys

SECONDS_MAX = 60.0


def test_a_worker_that_starts_syncs_without_being_asked(
    redis_client: Redis, redis_server: str, bare_environment: Mapping[str, str]
) -> None:
    environment = roster.child_environment({**bare_environment, "REDIS_URL": redis_server})
    worker = subprocess.Popen(tied(roster.warehouse_program(environment).command), cwd=BASE_DIR, env=environment)
    try:
        deadline = time.monotonic() + SECONDS_MAX  # there is no beat
        while not redis_client.exists(keys.SYNC):
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        worker.kill()
        worker.wait()
