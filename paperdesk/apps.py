"""The project as a Django app: it owns the system checks, the commands of the desk, and the Celery app."""

from django.apps import AppConfig

from paperdesk import celery


class PaperDeskConfig(AppConfig):
    name = "paperdesk"
    verbose_name = "PaperDesk"

    def ready(self) -> None:
        """Make the Celery app current in every Django process, so that tasks find their broker."""
        celery.app.set_default()
