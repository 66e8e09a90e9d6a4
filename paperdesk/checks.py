"""System checks of the servers: what a Redis must be before money, even paper money, is kept in it.

They talk to servers, so they are deployment checks: `manage.py check --deploy --tag servers` and the start of a desk
or an engine run them, other commands do not.
"""

from collections.abc import Sequence
from typing import Any

import redis
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning

from paperdesk.environment import masked, service_url
from paperdesk.errors import ConfigurationError

SERVERS = "servers"
ANSWER_SECONDS_MAX = 3.0


FSYNC_MEANING = {
    "always": "an acknowledged change survives a power cut",
    "everysec": "a killed Redis loses nothing, a machine that fails at most a second",
    "no": "a machine that fails loses what its system had not written",
}


class UnsafeRedis(ConfigurationError):
    """A Redis that would lose, evict or spread what PaperDesk keeps in it."""


def redis_keeps_what_it_is_given(app_configs: Sequence[AppConfig] | None = None, **options: Any) -> list[CheckMessage]:
    """The configured Redis appends to a file, never evicts, and is one primary."""
    if not settings.REDIS_URL:
        hint = "Start a desk (manage.py desk), or set REDIS_URL."
        return [Error("no Redis is known", hint=hint, id="paperdesk.E001")]
    return redis_problems(settings.REDIS_URL)


def redis_problems(url: str) -> list[CheckMessage]:
    """Return what is wrong with the Redis at `url`; INFO is enough, CONFIG is closed on hosted ones."""
    client = redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=ANSWER_SECONDS_MAX,
        socket_timeout=ANSWER_SECONDS_MAX,
    )
    try:
        info = client.info("everything")
        fsync = _fsync_policy(client)
    except redis.AuthenticationError:
        hint = "Give them in REDIS_URL: redis://:password@host:6379/0 or redis://user:password@host:6379/0."
        return [Error(f"Redis at {masked(url)} asks for another user or password", hint=hint, id="paperdesk.E008")]
    except redis.RedisError as error:
        hint = "Start it, or correct REDIS_URL; unset, a desk starts a Redis of its own."
        return [
            Error(f"Redis at {masked(url)} does not answer: {str(error).rstrip('.')}", hint=hint, id="paperdesk.E002")
        ]
    finally:
        client.close()
    return _judge(masked(url), info, fsync) + _judge_service_database(url)


def refuse_unsafe_redis(url: str) -> None:
    """Raise UnsafeRedis, with every error's sentence and hint, unless the Redis at `url` may be used."""
    errors = [problem for problem in redis_problems(url) if problem.is_serious()]
    if errors:
        raise UnsafeRedis(" ".join(f"{error.msg}. {error.hint}" for error in errors))


def fsync_sentence(url: str) -> str:
    """How soon the Redis at `url` writes to its disk, and what that means, for one line at a start. Never raises."""
    client = redis.Redis.from_url(url, decode_responses=True, socket_connect_timeout=1, socket_timeout=1)
    try:
        policy = _fsync_policy(client)
    except redis.RedisError as error:
        return f"appendfsync unknown, Redis does not answer: {str(error).rstrip('.')}"
    finally:
        client.close()
    if policy is None:
        return "appendfsync unknown: this Redis does not tell its configuration"
    return f"appendfsync {policy}: {FSYNC_MEANING.get(policy, 'not known here')}"


def _judge_service_database(url: str) -> list[CheckMessage]:
    """Some hosted servers have database 0 only; cache, broker and channels need a second one."""
    address = service_url(url)
    client = redis.Redis.from_url(address, socket_connect_timeout=ANSWER_SECONDS_MAX)
    try:
        client.ping()
    except redis.ResponseError as error:
        hint = "Allow one more (`databases 16`), or give another server: cache and broker use the next number."
        return [Error(f"Redis has no database {address.rpartition('/')[2]}: {error}", hint=hint, id="paperdesk.E007")]
    finally:
        client.close()
    return []


def _fsync_policy(client: redis.Redis) -> str | None:
    try:
        return client.config_get("appendfsync").get("appendfsync")
    except redis.ResponseError:
        return None


def _judge(where: str, info: dict[str, Any], fsync: str | None) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    if not int(info.get("aof_enabled", 0)):
        hint = "Set `appendonly yes`: without it a restart forgets open trades."
        problems.append(Error(f"Redis at {where} has appendonly off", hint=hint, id="paperdesk.E003"))
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        hint = "Set `maxmemory-policy noeviction`: any other drops trades when memory is short."
        problems.append(Error(f"Redis at {where} has maxmemory-policy {policy}", hint=hint, id="paperdesk.E004"))
    if int(info.get("cluster_enabled", 0)):
        hint = "Give one primary: a trade's keys lie on several slots and could not change in one step."
        problems.append(Error(f"Redis at {where} is a cluster", hint=hint, id="paperdesk.E005"))
    if info.get("role", "master") != "master":
        hint = "Give the primary's address in REDIS_URL."
        problems.append(Error(f"Redis at {where} is a replica, which refuses writes", hint=hint, id="paperdesk.E006"))
    if fsync == "no":
        hint = "Set `appendfsync everysec` (loses at most a second when the machine fails) or `always`."
        problems.append(Warning(f"Redis at {where} has appendfsync no", hint=hint, id="paperdesk.W001"))
    return problems
