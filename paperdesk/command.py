"""What all commands have in common: `--data`, options that are written out, numbers within their range, progress.

An option that argparse would guess from its first letters is refused: `--dat DIR` is not read by `manage.py`, and the
command would look at another folder than the one that was asked for.

A command raises PaperDeskError for what it refuses, and CommandError only for its arguments; `manage.py` prints either
as one sentence.
"""

import contextlib
import datetime
import math
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PORT_MAX = 65_535
DJANGO_OPTIONS = ("--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color")
OTHER_DJANGO_OPTIONS = ("--force-color", "--skip-checks")


class DeskCommand(BaseCommand):
    """A command of PaperDesk; `data_help` says what the data folder is to it."""

    requires_system_checks: list[str] = []
    suppressed_base_arguments = {*DJANGO_OPTIONS, *OTHER_DJANGO_OPTIONS}
    _called_from_command_line: bool
    data_help = "data folder (PAPERDESK_DATA; default var/)"

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The parser of the command's own options and of `--data`, which `manage.py` has read by now.

        It raises CommandError for wrong arguments also for the command line, and does not print the usage.
        """
        typed, self._called_from_command_line = self._called_from_command_line, False
        try:
            parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)
        finally:
            self._called_from_command_line = typed
        parser.add_argument("--data", metavar="DIR", help=self.data_help)
        return parser


def port(text: str) -> int:
    """An argument that is a port."""
    if not text.isdecimal() or not 1 <= int(text) <= PORT_MAX:
        raise ArgumentTypeError(f"{text!r} is not a port from 1 to {PORT_MAX}")
    return int(text)


def day(text: str) -> datetime.date:
    """An argument that is a UTC day."""
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day like 2024-08-08") from None


def seconds(text: str) -> float:
    """An argument that is a time in seconds, zero or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


@contextlib.contextmanager
def progress(doing: str, as_json: bool) -> Iterator[Callable[[str], None]]:
    """Shows on standard error, where somebody looks at it, what is being done and for how long; gives a function that
    says it anew. Nothing is shown with `as_json`, and nothing stays."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=as_json or not sys.stderr.isatty()) as shown:
        task = shown.add_task(doing)
        yield lambda words: shown.update(task, description=words)
