"""A sync worker that syncs without pause until it is killed: `python -m tests.faults.syncer`; see
`tests.faults.forked`. Its stores are those of the environment."""

from __future__ import annotations

import warnings

warnings.filterwarnings("ignore", "XDG_RUNTIME_DIR")

import django  # noqa: E402

django.setup()

from results import wiring  # noqa: E402
from tests.faults.forked import serve  # noqa: E402


def live(_line: bytes) -> None:
    """Sync until death."""
    sync = wiring.sync()
    while True:
        sync.once()


if __name__ == "__main__":
    serve(live)
