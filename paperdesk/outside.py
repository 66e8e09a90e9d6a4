"""Failures of the world outside in a sentence: a server that went away or a file that cannot be used is no bug."""

import re

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from redis.exceptions import RedisError

from paperdesk.environment import masked

MISSING_TABLE = re.compile(r'^no such table|^relation ".*" does not exist')  # SQLite | PostgreSQL


def sentence_of(error: Exception) -> str:
    """What a person needs to know of the failure of a server or a file; "" for anything else, which is a bug."""
    if isinstance(error, RedisError):
        return f"Redis at {masked(settings.REDIS_URL)} fails: {_first_line(error)}"
    if isinstance(error, DatabaseError) and MISSING_TABLE.search(_first_line(error)):
        return f"the database {_database()} lacks tables ({_first_line(error)}); manage.py migrate makes them"
    if isinstance(error, OperationalError | InterfaceError):
        return f"the database {_database()} fails: {_first_line(error)}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return ""


def _database() -> str:
    name = settings.DATABASES["default"]
    return f"{name['NAME']} at {name['HOST']}:{name['PORT']}" if name.get("HOST") else str(name["NAME"])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
