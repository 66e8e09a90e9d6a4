"""`python -m tests.faults.servers FOLDER REDIS_PORT CLICKHOUSE_PORT`: the servers of a desk under test.

Redis and ClickHouse as a desk runs them, under the desk's own supervisor, which restarts what is killed. The desk gets
their addresses like any others' and so reaches them through proxies. `FOLDER/servers.json` tells the process ids.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from paperdesk.embedded import roster
from paperdesk.embedded.supervisor import Stopped, Supervisor

PIDS = "servers.json"


def main(folder: Path, redis_port: int, clickhouse_port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    supervisor = Supervisor(sys.stdout)
    supervisor.stop_on_signals()

    def tell() -> None:
        draft = folder / f"{PIDS}.draft"
        draft.write_text(json.dumps(supervisor.pids()))
        draft.replace(folder / PIDS)

    supervisor.on_change = tell
    try:
        supervisor.launch(
            roster.redis_program(folder / "redis", redis_port),
            roster.clickhouse_program(folder / "clickhouse", clickhouse_port, roster.child_environment(os.environ)),
        )
        supervisor.wait_until_ready()
        supervisor.say("servers", "ready")
        supervisor.run()
    except Stopped:
        pass
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
