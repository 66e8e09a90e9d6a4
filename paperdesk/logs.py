"""Log lines: one each on stderr, for people (console) or for machines (json)."""

import logging
from typing import Any

import structlog

from paperdesk.errors import ConfigurationError

STEPS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]
RENDERERS: dict[str, list[Any]] = {
    "console": [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)],
    "json": [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
}

# They tell of a server that is away, each second or at each question; the sentence says it, the stack adds nothing.
BRIEF = ("celery.beat", "health_check")


class WithoutStack(logging.Filter):
    """Leaves the sentence of a record and takes its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record and lets it pass."""
        record.exc_info = None
        return True


def logging_settings(form: str) -> dict[str, Any]:
    """Return Django's LOGGING for `form`, console or json. Ours from INFO up, others' from WARNING up."""
    if form not in RENDERERS:
        raise ConfigurationError(f"PAPERDESK_LOG is {form!r}; it must be console or json")
    line = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *RENDERERS[form]],
        "foreign_pre_chain": STEPS,
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line},
        "filters": {"brief": {"()": WithoutStack}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
        "loggers": {
            **{name: {"level": "INFO"} for name in ("trading", "results", "paperdesk")},
            **{name: {"filters": ["brief"]} for name in BRIEF},
            # Both warn at every attempt while ClickHouse is away, which the sync reports once.
            **{name: {"level": "ERROR"} for name in ("clickhouse_connect", "urllib3.connectionpool")},
        },
    }


def configure_structlog() -> None:
    """Send structlog's events through the same handler as everybody's."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *STEPS,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
