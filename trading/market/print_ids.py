"""Numbers for a venue's print ids."""

from __future__ import annotations

from collections import deque

PRINT_IDS_KEPT = 5_000  # venues repeat prints after a reconnect


class PrintIds:
    """Ids that are numbers stay what they are. Others get numbers that grow with time, because whoever compares prints
    takes a smaller number for an older print."""

    def __init__(self) -> None:
        self._seen: deque[str] = deque(maxlen=PRINT_IDS_KEPT)
        self._set: set[str] = set()
        self._last = 0

    def number(self, text: str, event_us: int) -> int | None:
        """The number of a new print; None for one that was seen before. An empty id is never one seen before."""
        if text and self._is_known(text):
            return None
        if text.isascii() and text.isdigit() and int(text) < 1 << 63:
            return int(text)
        self._last = max(self._last + 1, event_us)
        return self._last

    def _is_known(self, text: str) -> bool:
        if text in self._set:
            return True
        if len(self._seen) == PRINT_IDS_KEPT:
            self._set.discard(self._seen[0])
        self._seen.append(text)
        self._set.add(text)
        return False
