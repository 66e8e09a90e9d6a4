"""The settings in the database, followed from a thread of its own: a database that is slow or away never holds up
trading. What is read is a whole desk of one version; the reader of `newest` takes it when it has time."""

from __future__ import annotations

import threading

import structlog
from django.db import DatabaseError, close_old_connections, connection

from trading.domain.errors import ConfigurationError
from trading.settings_desk import current_desk, settings_version
from trading.stores.desk_store import VersionedDesk

POLL_SECONDS = 1.0  # a change is in force within 3 s: one to see it, a quarter to take it in

logger = structlog.get_logger(__name__)


class SettingsWatch:
    """Follows the settings until `stopping` is set. The first ones are read by the constructor.

    Raises ConfigurationError and django.db.DatabaseError then, and never later: it says so, and the last ones stand.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._newest = current_desk()
        self._trouble = ""

    def newest(self) -> VersionedDesk:
        """The newest settings that could be read and are valid."""
        return self._newest

    def start(self) -> None:
        """Begins to follow; the thread ends with the process."""
        threading.Thread(target=self._follow, name="settings watch", daemon=True).start()

    def _follow(self) -> None:
        try:
            while not self._stopping.wait(POLL_SECONDS):
                self._look()
        finally:
            connection.close()

    def _look(self) -> None:
        try:
            close_old_connections()
            if settings_version() != self._newest.version:
                self._newest = current_desk()
        except (ConfigurationError, DatabaseError) as error:
            if str(error) != self._trouble:
                logger.warning("settings_not_read", error=str(error))
            self._trouble = str(error)
        else:
            self._trouble = ""
