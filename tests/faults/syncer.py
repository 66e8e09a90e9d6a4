"""A sync worker that syncs without pause until it is killed: `python -m tests.faults.syncer`; see
`tests.faults.forked`. Its stores are those of the environment.

It takes a turn as the desk's worker does: a Redis that does not answer in time is no end of it.
"""

from __future__ import annotations

import sys
import warnings

warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")

import django  # noqa: E402

django.setup()

from paperdesk.errors import PaperDeskError  # noqa: E402
from results import services  # noqa: E402
from tests.faults.forked import serve  # noqa: E402


def live(_line: bytes) -> None:
    """Sync until death."""
    while True:
        try:
            services.results_sync()
        except PaperDeskError as error:
            print(f"a turn failed: {error}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    serve(live)
