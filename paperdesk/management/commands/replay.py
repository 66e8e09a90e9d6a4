"""`manage.py replay FILE...`: recorded traffic through feed, engine, monitor and stores, on event time, at full speed.

Without `--here` it starts servers of its own, runs itself there with `--here`, and stops them. The exit status is 0
only if the invariants hold and every store has the same rows.
"""

from __future__ import annotations

import io
import json
import shlex
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from rich.console import Console
from rich.table import Table

from paperdesk.command import DeskCommand
from paperdesk.embedded.supervisor import Stopped
from paperdesk.errors import ConfigurationError
from paperdesk.replay_run import ReplayRun, Report
from paperdesk.replay_servers import INTERRUPTED, prepare_folder, replay_servers, run_there
from trading.config import load_desk
from trading.market.replay import ReplayFeed


class Command(DeskCommand):
    data_help = "where the replay's stores go (default var/replay)"
    help = "Replay recorded exchange traffic and print what was traded and a hash of the outcome."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a recorded capture: PATH or venue=PATH")
        parser.add_argument("--strategy", metavar="FILE", help="settings (TOML) instead of the shipped ones")
        parser.add_argument("--here", action="store_true", help="use the servers that showenv shows, not new ones")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        files = [absolute(name) for name in options["files"]]
        strategy = str(Path(options["strategy"]).resolve()) if options["strategy"] else None
        desk = load_desk(strategy, defaults="replay")
        feed = ReplayFeed(files)
        feed.require_known(desk)
        if options["here"]:
            self.finish(self.run(ReplayRun(desk, feed, quiet=options["json"])), options["json"])
            return
        folder = settings.DATA if options["data"] else settings.DATA / "replay"
        prepare_folder(folder, files)
        words = ["replay", *files, "--here"]
        words += ["--strategy", strategy] if strategy else []
        words += ["--json"] if options["json"] else []
        said = io.StringIO()
        try:
            with replay_servers(folder, said) as environment:
                status = run_there(words, environment)
        except Stopped:
            status = INTERRUPTED
        if status:
            sys.exit(status)
        if not options["json"]:
            self.stdout.write(
                f"Its stores are in {folder}; look at them with: make run DATA={shlex.quote(str(folder))}"
            )

    def run(self, run: ReplayRun) -> Report:
        """Runs the replay on the configured servers."""
        run.refuse_used_redis()
        call_command("migrate", interactive=False, verbosity=0)
        call_command("warehouse", "migrate", stdout=io.StringIO())
        started = time.perf_counter()
        try:
            return run.report(started)
        except KeyboardInterrupt:
            self.stderr.write(f"stopped by Ctrl-C after {run.feed.messages} messages; what was committed stays")
            sys.exit(INTERRUPTED)

    def finish(self, report: Report, as_json: bool) -> None:
        """Prints the report; status 1 unless all is well."""
        if as_json:
            self.stdout.write(json.dumps(report.as_json(), indent=2))
        else:
            show(report)
        if not report.is_well:
            sys.exit(1)


def absolute(name: str) -> str:
    """A capture's name with an absolute path, its `venue=` kept. Raises ConfigurationError if it is no file."""
    venue, equals, path = name.rpartition("=")
    if not Path(path).is_file():
        raise ConfigurationError(f"{path} is not a file")
    return f"{venue}{equals}{Path(path).resolve()}"


def show(report: Report) -> None:
    """Prints the report for a person."""
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in report.rows_for_people():
        table.add_row(f"[dim]{name}[/dim]", value)
    console.print(table)
    for sentence in report.problems:
        console.print(f"[red]{sentence}[/red]", highlight=False)
