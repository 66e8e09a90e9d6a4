"""The tests' own ground: isolated settings and a Redis that is configured as a desk's."""

import os

import redis
from django.conf import settings
from django.core.cache import cache


def test_settings_point_at_a_temporary_folder_and_never_at_the_developers() -> None:
    assert "paperdesk-test-" in str(settings.DATA)
    assert str(settings.DUCKDB_PATH).startswith(str(settings.DATA))
    assert str(settings.DATA) == os.environ["PAPERDESK_DATA"]
    assert settings.SETTINGS_MODULE == "tests.settings", "the project's own would share a worker's servers"
    assert os.environ["PAPERDESK_ENV_FILE"] == os.devnull


def test_the_redis_of_the_tests_appends_and_never_evicts(redis_client: redis.Redis) -> None:
    assert redis_client.config_get("appendonly") == {"appendonly": "yes"}
    assert redis_client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_emptying_the_cache_leaves_the_desks_keys_alone(redis_client: redis.Redis) -> None:
    redis_client.set("strategy:portfolio:state", b"{}")
    cache.set("page", "1")
    cache.clear()
    assert redis_client.get("strategy:portfolio:state") == b"{}"
    assert cache.get("page") is None
