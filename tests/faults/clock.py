"""The clock of one real process, set forward or back while it runs: libfaketime, preloaded, reads it from a file.

Only what tells the time of day moves; what measures how long something takes (CLOCK_MONOTONIC) goes on, as when a
person or a time service sets the clock of a machine. On Debian the library is the package `libfaketime`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PLACES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1")
READ_AGAIN_SECONDS = 1  # the library looks into the file this often
RIGHT = 0


def library() -> Path | None:
    """Where libfaketime is; None where it is not installed."""
    return next((path for place in PLACES for path in Path("/").glob(place[1:])), None)


def clock_of(folder: Path, name: str) -> Path:
    """The file with the clock of a program whose data are in a folder; it is not on the disk that may be full."""
    return folder.parent / f"{name}.clock"


def step(clock: Path, seconds: int) -> None:
    """Have the clock be so many seconds ahead of the right time, or behind."""
    draft = clock.with_suffix(".draft")
    draft.write_text(f"{seconds:+d}\n")
    draft.replace(clock)


def steppable(environment: Mapping[str, str], clock: Path) -> dict[str, str]:
    """The variables of a program whose clock can be set; without the library they are as they were."""
    found = library()
    if found is None:
        return dict(environment)
    step(clock, RIGHT)
    return {
        **environment,
        "LD_PRELOAD": str(found),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": str(READ_AGAIN_SECONDS),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
