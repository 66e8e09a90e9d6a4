"""`manage.py desk`: everything that a desk needs, started in order, stopped in reverse by Ctrl-C."""

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import psutil
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from paperdesk import environment
from paperdesk.checks import fsync_sentence, refuse_unsafe_redis
from paperdesk.command import DeskCommand, port
from paperdesk.demo_users import ensure_demo_users
from paperdesk.embedded import roster
from paperdesk.embedded.desk_file import Desk, desk_lock, remove_desk, write_desk
from paperdesk.embedded.ports import LOCAL, can_listen, free_port
from paperdesk.embedded.redis_server import redis_url
from paperdesk.embedded.supervisor import ProgramFailed, Stopped, Supervisor
from paperdesk.errors import ConfigurationError
from paperdesk.feed_choice import absolute_feed

DEFAULT_PORT = 8000
RULE = "=" * 64

Greeting = Callable[[Desk, Path, dict[str, str]], str]  # of the desk, its data folder, the users' passwords


class Command(DeskCommand):
    help = "Run the whole desk: servers, migrations, users, engine, monitor, sync and web. Ctrl-C stops it all."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="of the web (default %(default)s)")
        parser.add_argument("--json", action="store_true", help="print one JSON object once it is up, logs on stderr")
        parser.add_argument("--feed", help="synthetic | replay:FILE,FILE | ccxt:EXCHANGE,EXCHANGE")

    def handle(self, *args: Any, **options: Any) -> None:
        feed = absolute_feed(options["feed"] or settings.PAPERDESK_FEED)
        with desk_lock(settings.DATA):
            if not can_listen(options["port"]):
                raise ConfigurationError(
                    f"port {options['port']} is in use; stop what listens there, or give another --port"
                )
            logs = sys.stderr if options["json"] else sys.stdout
            DeskRun(settings.DATA, options["port"], feed, logs).run(self.as_json if options["json"] else self.greeting)

    def greeting(self, desk: Desk, data: Path, passwords: dict[str, str]) -> str:
        """What a person needs next."""
        users = [f"  {name:<9} {password}" for name, password in passwords.items()]
        lines = [
            RULE,
            f"  {self.style.SUCCESS(f'PaperDesk runs on {desk.address}')}",
            "",
            *(["  user      password (made at first run)", *users, ""] if users else []),
            f"  data      {data}",
            "",
            "  Ctrl-C stops everything.",
            RULE,
        ]
        return "\n" + "\n".join(lines) + "\n\n"

    def as_json(self, desk: Desk, data: Path, passwords: dict[str, str]) -> str:
        """What a program needs next; nothing for the logs."""
        told = {"address": desk.address, "users": passwords, "data": str(data), "addresses": desk.addresses}
        self.stdout.write(json.dumps(told, indent=2))
        self.stdout.flush()
        return ""


class DeskRun:
    """One run of a desk: its addresses, its supervisor, its desk file. Log lines go to `logs`."""

    def __init__(self, data: Path, port: int, feed: str, logs: TextIO) -> None:
        self.data, self.port = data, port
        self.supervisor = Supervisor(logs)
        decided = {name: decision.value for name, decision in environment.decisions().items()}
        self.external_clickhouse = bool(decided["clickhouse_url"])
        self.ports = {"redis": free_port(), "clickhouse": free_port()}
        self.external_redis = bool(decided["redis_url"])
        self.addresses = {
            "REDIS_URL": decided["redis_url"] or redis_url(self.ports["redis"]),
            "CLICKHOUSE_URL": decided["clickhouse_url"] or roster.clickhouse_url(self.ports["clickhouse"]),
            "DATABASE_URL": decided["database_url"],
            "DUCKDB_PATH": decided["duckdb_path"],
        }
        own = {"PAPERDESK_DATA": str(data), "PAPERDESK_FEED": feed}
        self.environment = roster.child_environment(self.addresses | own)

    def run(self, greeting: Greeting) -> None:
        """Start, greet, watch until a stop is asked for, stop. Raises what made a start impossible."""
        self.supervisor.stop_on_signals()
        self.supervisor.say("desk", "starting; this takes some seconds")
        try:
            passwords = self.start()
            self.supervisor.show(greeting(self.told(), self.data, passwords))
            self.supervisor.run()
        except Stopped:
            pass
        finally:
            self.supervisor.say("desk", "stopping")
            self.supervisor.stop()
            remove_desk(self.data)
        self.supervisor.say("desk", "stopped")

    def start(self) -> dict[str, str]:
        """Bring up servers, schemas, users and programs; return the demo users' passwords."""
        began = time.monotonic()
        if self.external_redis:
            refuse_unsafe_redis(self.addresses["REDIS_URL"])
        self.launch_servers()
        call_command("migrate", interactive=False, verbosity=0)
        passwords = ensure_demo_users(self.data)
        connections.close_all()
        if not self.external_redis:
            self.supervisor.wait_until_ready("redis")
        self.supervisor.say("desk", f"Redis: {fsync_sentence(self.addresses['REDIS_URL'])}")
        self.supervisor.on_change = self.write_file
        self.supervisor.launch(*roster.desk_programs(self.port, self.environment))
        if not self.external_clickhouse:
            self.supervisor.wait_until_ready("clickhouse")
        self.prepare_warehouse()
        self.supervisor.launch(roster.warehouse_program(self.environment))
        self.supervisor.wait_until_ready()
        self.supervisor.say("desk", f"up after {time.monotonic() - began:.1f} s")
        return passwords

    def launch_servers(self) -> None:
        """Start those servers that nobody gave an address for."""
        if not self.external_redis:
            self.supervisor.launch(roster.redis_program(self.data / "redis", self.ports["redis"]))
        if not self.external_clickhouse:
            port = self.ports["clickhouse"]
            self.supervisor.launch(roster.clickhouse_program(self.data / "clickhouse", port, self.environment))

    def prepare_warehouse(self) -> None:
        """Apply the schemas. Another's ClickHouse may be away: the desk goes on and the sync catches up later."""
        try:
            self.supervisor.run_to_end(roster.warehouse_step(self.environment))
        except ProgramFailed as failure:
            if not self.external_clickhouse:
                raise
            self.supervisor.say("desk", f"goes on without ClickHouse for now: {failure}")

    def write_file(self) -> None:
        """Tell other commands where this desk is."""
        write_desk(self.data, self.told())

    def told(self) -> Desk:
        """Where this desk is."""
        started = psutil.Process().create_time()
        address = f"http://{LOCAL}:{self.port}"
        return Desk(os.getpid(), started, address, self.addresses, self.supervisor.pids())
