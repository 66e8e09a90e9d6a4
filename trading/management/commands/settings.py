"""`manage.py settings import|export|check`: the settings in the database, from and to files (TOML).

The exit status is 0 only if the settings are, or were, valid as a whole; otherwise nothing has changed.
"""

from __future__ import annotations

import argparse
import functools
import getpass
import json
from argparse import ArgumentParser
from typing import Any

import msgspec

from paperdesk.command import DeskCommand
from trading.config import DEFAULTS, load_desk
from trading.domain.errors import ConfigurationError
from trading.domain.strategy import Desk
from trading.engine.clock import SystemClock
from trading.settings_desk import current_desk, desk_with
from trading.settings_file import toml_of
from trading.settings_service import settings_import


class Command(DeskCommand):
    help = "Import, export or check the settings: venues, instruments, strategies."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="import|export|check")
        add = functools.partial(verbs.add_parser, allow_abbrev=False)
        importing = add("import", help="bring the database to the settings of a file")
        _add_source(importing, required=True)
        importing.add_argument("--only-these", action="store_true", help="switch off strategies that it does not name")
        export = add("export", help="print the database's settings as a file")
        check = add("check", help="whether a file, or the database, is valid as a whole")
        _add_source(check, required=False)
        for verb in (importing, export, check):
            verb.add_argument("--json", action="store_true", help="print one JSON object")
            verb.add_argument("--data", metavar="DIR", default=argparse.SUPPRESS, help=self.data_help)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            told = getattr(self, f"_{options['verb']}")(options)
        except ConfigurationError as error:
            if not options["json"]:
                raise
            told = {"ok": False, "error": str(error), "field": error.field}
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=2))
        if not told["ok"]:
            raise SystemExit(1)

    def _import(self, options: dict[str, Any]) -> dict[str, Any]:
        desk = _source(options)
        now_us = SystemClock().now_us()
        saved = settings_import(desk, getpass.getuser(), now_us, only_these=options["only_these"])
        if not options["json"]:
            words = [f"{len(saved.added)} added", f"{len(saved.changed)} changed"]
            self.stdout.write(f"Settings version {saved.version}: {', '.join(words)}.")
            for label in (*saved.added, *saved.changed):
                self.stdout.write(f"  {label}")
        return {"ok": True, **msgspec.structs.asdict(saved)}

    def _export(self, options: dict[str, Any]) -> dict[str, Any]:
        found = current_desk()
        if not options["json"]:
            self.stdout.write(toml_of(found.desk), ending="")
        return {"ok": True, "version": found.version, "desk": msgspec.to_builtins(found.desk)}

    def _check(self, options: dict[str, Any]) -> dict[str, Any]:
        desk = _source(options) if options["file"] or options["defaults"] else desk_with(())
        counts = {name: len(getattr(desk, name)) for name in ("venues", "instruments", "strategies")}
        if not options["json"]:
            words = ", ".join(f"{count} {name}" for name, count in counts.items())
            self.stdout.write(f"All of it is valid: {words}.")
        return {"ok": True, **counts}


def _add_source(parser: ArgumentParser, required: bool) -> None:
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument("file", nargs="?", metavar="FILE", help="a settings file (TOML)")
    source.add_argument("--defaults", choices=sorted(DEFAULTS), help="the shipped settings of a kind of feed")


def _source(options: dict[str, Any]) -> Desk:
    return load_desk(options["file"], options["defaults"] or "synthetic")
