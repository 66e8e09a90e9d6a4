"""The root of every error that PaperDesk raises on purpose."""

from __future__ import annotations


class PaperDeskError(Exception):
    """Something that was asked for is refused or cannot be done now; the sentence carries the values.

    `retryable` tells whether the same call may succeed later without anybody changing anything.
    """

    retryable = False
