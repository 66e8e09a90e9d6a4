"""What all commands have in common: `--data`, options that are written out, and numbers within their range.

An option that argparse would guess from its first letters is refused: `--dat DIR` is not read by `manage.py`, and the
command would look at another folder than the one that was asked for.
"""

import math
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

PORT_MAX = 65_535


class DeskCommand(BaseCommand):
    """A command of PaperDesk; `data_help` says what the data folder is to it."""

    requires_system_checks: list[str] = []
    data_help = "data folder (PAPERDESK_DATA; default var/)"

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """The parser of the command's own options and of `--data`, which `manage.py` has read by now."""
        parser = super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)
        parser.add_argument("--data", metavar="DIR", help=self.data_help)
        return parser


def port(text: str) -> int:
    """An argument that is a port."""
    if not text.isdecimal() or not 1 <= int(text) <= PORT_MAX:
        raise ArgumentTypeError(f"{text!r} is not a port from 1 to {PORT_MAX}")
    return int(text)


def seconds(text: str) -> float:
    """An argument that is a time in seconds, zero or more."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value
