"""`python -m tests.faults.servers FOLDER NAME=PORT...`: the servers of a desk under test.

Redis and ClickHouse as a desk runs them, and perhaps PostgreSQL, under the desk's own supervisor, which restarts what
is killed. The desk gets their addresses like any others' and so reaches them through proxies. `FOLDER/servers.json`
tells the process ids. The clock of Redis can be set (`tests.faults.clock`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from paperdesk.embedded import roster
from paperdesk.embedded.supervisor import Stopped, Supervisor
from tests.faults.clock import clock_of, steppable
from tests.faults.postgres import postgres_program

PIDS = "servers.json"


def main(folder: Path, ports: Mapping[str, int]) -> None:
    """Serve until SIGINT or SIGTERM."""
    supervisor = Supervisor(sys.stdout)
    supervisor.stop_on_signals()

    def tell() -> None:
        draft = folder / f"{PIDS}.draft"
        draft.write_text(json.dumps(supervisor.pids()))
        draft.replace(folder / PIDS)

    supervisor.on_change = tell
    try:
        environment = roster.child_environment(os.environ)
        redis = roster.redis_program(folder / "redis", ports["redis"])
        supervisor.launch(
            dataclasses.replace(redis, environment=steppable(redis.environment, clock_of(folder, "redis"))),
            roster.clickhouse_program(folder / "clickhouse", ports["clickhouse"], environment),
        )
        if "postgres" in ports:
            supervisor.launch(postgres_program(folder / "postgres", ports["postgres"]))
        supervisor.wait_until_ready()
        supervisor.say("servers", "ready")
        supervisor.run()
    except Stopped:
        pass
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), {name: int(port) for name, _, port in (word.partition("=") for word in sys.argv[2:])})
