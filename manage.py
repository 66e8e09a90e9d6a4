#!/usr/bin/env python3
"""PaperDesk's command line. `--data DIR` of any command is PAPERDESK_DATA: settings are read before the command is."""

import argparse
import os
import sys
from pathlib import Path

from django.core.management import CommandError, execute_from_command_line
from django.core.management.base import SystemCheckError

from paperdesk.errors import PaperDeskError

INTERRUPTED = 130
WRONG_ARGUMENTS = 2
NOBODY_READS = 141  # as by SIGPIPE


def main(arguments: list[str]) -> None:
    """Run one command; what goes wrong outside of us ends as one sentence and status 1, Ctrl-C as status 130."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "paperdesk.settings")
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, usage="manage.py COMMAND [--data DIR]")
    early.add_argument("--data")
    data, _ = early.parse_known_args(arguments[2:])
    if data.data:
        os.environ["PAPERDESK_DATA"] = str(Path(data.data).resolve())
    if arguments[1:2] and not arguments[1].startswith("-"):
        arguments = [
            *arguments[:2],
            "--traceback",
            *arguments[2:],
        ]  # Django's commands, too, let their errors be told here
    try:
        execute_from_command_line(arguments)
        sys.stdout.flush()
    except SystemCheckError as error:
        sys.exit(str(error))
    except CommandError as error:
        sentence = str(error).removeprefix("Error: ")
        sys.stderr.write(f"Error: {sentence} (see manage.py {arguments[1]} --help)\n")
        sys.exit(WRONG_ARGUMENTS)
    except PaperDeskError as error:
        sys.exit(f"Error: {error}")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left has nowhere to go
        sys.exit(NOBODY_READS)
    except KeyboardInterrupt:
        sys.stderr.write("stopped by Ctrl-C\n")
        sys.exit(INTERRUPTED)
    except Exception as error:
        from paperdesk.outside import sentence_of  # reads the settings, which may be what failed above

        if not (sentence := sentence_of(error)):
            raise
        sys.exit(f"Error: {sentence}")


if __name__ == "__main__":
    main(sys.argv)
