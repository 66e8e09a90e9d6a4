"""The way to ClickHouse: its address, the HTTP client, and what the client's errors mean.

clickhouse-connect sends once more what a server did not answer because the connection was reset, if that can do no
harm; everything else is the caller's to repeat. A reply that was cut within its headers looks whole to Python's HTTP
(200, and no rows), so a reply counts only if its headers say how its end is known.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote, urlsplit

import clickhouse_connect
import msgspec
import urllib3
import urllib3.exceptions
from clickhouse_connect.driver import Client
from clickhouse_connect.driver.exceptions import Error, OperationalError
from clickhouse_connect.driver.httputil import get_pool_manager_options

from results.stores.failures import ClickHouseAway, ClickHouseRefused

# The server is beside us or in the same network: one that does not accept within 3 s is away, and the sync goes on.
CONNECT_SECONDS_MAX = 3
# A batch takes well under a second; a merge or a cold disk may hold it up, a dead peer must not hold the sync for long.
ANSWER_SECONDS_MAX = 30
# Errors that pass by themselves: timeouts, too much at once, memory, disk, a query cancelled by a server that stops,
# the first attempt of a repeated one still running, replicas and keeper away.
PASSING_CODES = frozenset(
    [159, 173, 198, 202, 209, 210, 216, 225, 236, 241, 242, 243, 252, 254, 279, 285, 286, 319, 394]
    + [425, 439, 733, 745, 999, 1000]
)
UNKNOWN_TABLE = 60
UNKNOWN_DATABASE = 81
TABLES_MISSING = frozenset({UNKNOWN_TABLE, UNKNOWN_DATABASE})

SERVER_WORDS = re.compile(r"server response: (.*?)(?: \(for url [^)]*\))?$", re.DOTALL)
# The server's own errors have a code; without one, a balancer or a broken connection speaks.
PASSING_STATUS = re.compile(r"HTTP driver received HTTP status (?:408|429|5\d\d)\b")


class Address(msgspec.Struct, frozen=True):
    """`http://user:password@host:port/database` in its parts."""

    interface: str
    host: str
    port: int
    username: str
    password: str
    database: str


def address_of(url: str) -> Address:
    """The parts of CLICKHOUSE_URL. Raises ClickHouseRefused, without its password, when it is not one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ClickHouseRefused("CLICKHOUSE_URL is not of the form http://user:password@host:port/database")
    port = parts.port or (8443 if parts.scheme == "https" else 8123)
    user, password = unquote(parts.username or "default"), unquote(parts.password or "")
    return Address(parts.scheme, parts.hostname, port, user, password, parts.path.strip("/") or "default")


class WholeReplies(urllib3.PoolManager):
    """Connections of one client. A reply without a known end is a lost connection, not a short answer.

    A proxy for web pages (HTTP_PROXY) is not asked: the database is beside us.
    """

    def urlopen(self, method: str, url: str, *options: Any, **named: Any) -> Any:
        """See urllib3. Raises ProtocolError too when the headers of the reply are cut."""
        reply = super().urlopen(method, url, *options, **named)
        if not _has_end(reply.headers):
            reply.close()
            raise urllib3.exceptions.ProtocolError("the reply is cut within its headers") from ConnectionResetError()
        return reply


def connected(address: Address) -> Client:
    """A client that has reached the server, its database set whether it is there or not. Raises clickhouse-connect's
    errors."""
    client = clickhouse_connect.get_client(
        interface=address.interface,
        host=address.host,
        port=address.port,
        username=address.username,
        password=address.password,
        database="default",
        connect_timeout=CONNECT_SECONDS_MAX,
        send_receive_timeout=ANSWER_SECONDS_MAX,
        query_retries=0,
        autogenerate_session_id=False,
        tz_mode="aware",
        pool_mgr=WholeReplies(**get_pool_manager_options(retries=0)),
        compress=False,
    )
    client.database = address.database  # only now: `migrate` is what makes it
    client.http_retries = 0  # type: ignore[attr-defined]  # clickhouse-connect repeats by itself what may be repeated
    return client


def failure_of(error: Error, address: Address) -> ClickHouseAway | ClickHouseRefused:
    """What a person and the sync need to know of a client's error: whether to try again, and who said what."""
    code = int(getattr(error, "code", None) or 0)
    where = f"ClickHouse at {address.host}:{address.port}"
    is_transport = isinstance(error, OperationalError) or PASSING_STATUS.match(str(error)) is not None
    if code in PASSING_CODES or (not code and is_transport):
        return ClickHouseAway(f"{where} is away: {_reason(error)}")
    hint = "; `manage.py warehouse migrate` makes the tables" if code in TABLES_MISSING else ""
    return ClickHouseRefused(f"{where} refused: {_reason(error)}{hint}", code)


def _has_end(headers: Any) -> bool:
    length = headers.get("content-length", "")
    return bool(length.isdigit() or headers.get("transfer-encoding", "").lower().endswith("chunked"))


def _reason(error: BaseException) -> str:
    """The server's own words, or else those of the innermost error, without addresses and parameters."""
    text = str(error)
    found = SERVER_WORDS.search(text)
    if found:
        return found[1].strip()
    reason = (text or type(error).__name__).splitlines()[0]
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            reason = inner.strerror
        elif isinstance(inner, TimeoutError | urllib3.exceptions.TimeoutError):
            reason = "no answer in time"
        elif isinstance(inner, ConnectionError | urllib3.exceptions.HTTPError):
            reason = "the connection was lost"
        inner = inner.__cause__ or inner.__context__
    return reason
