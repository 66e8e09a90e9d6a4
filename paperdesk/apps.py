"""The project as a Django app: it owns the system checks, the commands of the desk, and the Celery app."""

from django.apps import AppConfig
from django.core.checks import register

from paperdesk import celery, checks


class PaperDeskConfig(AppConfig):
    name = "paperdesk"
    verbose_name = "PaperDesk"

    def ready(self) -> None:
        """Register the checks, and make the Celery app current in every process, so that tasks find their broker."""
        register(checks.redis_keeps_what_it_is_given, checks.SERVERS, deploy=True)
        celery.app.set_default()
