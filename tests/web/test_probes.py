"""What machines ask: /healthz, /readyz and /metrics."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import redis
from django.db import connections
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from paperdesk.embedded.ports import free_port
from paperdesk.roles import ANALYST
from tests.web.conftest import ANONYMOUS
from trading.stores import keys

pytestmark = pytest.mark.django_db

ClientOf = Callable[[str], Client]


def test_healthz_answers_without_asking_any_store(
    client_of: ClientOf, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = client_of(ANONYMOUS)
    with django_assert_num_queries(0):
        assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("accept", ["*/*", "text/html", "application/json", "text/plain"])
def test_readyz_names_both_stores(client_of: ClientOf, accept: str, redis_client: redis.Redis) -> None:
    answer = client_of(ANONYMOUS).get("/readyz", headers={"Accept": accept})
    said = {"database": "ok", "redis": "ok", "stores": "not verified", "audit_trail": "not verified"}
    assert (answer.status_code, answer.json()) == (200, {**said, "behind": {}})
    assert "no-store" in answer["Cache-Control"]


def test_readyz_says_whether_the_stores_agreed(client_of: ClientOf, redis_client: redis.Redis) -> None:
    def said(**errors: str | None) -> tuple[int, str]:
        states = {name: msgspec.json.encode({"at_us": 1, "error": error}) for name, error in errors.items()}
        redis_client.hset(keys.SYNC, mapping=states)  # type: ignore[arg-type]
        answer = client_of(ANONYMOUS).get("/readyz")
        return answer.status_code, answer.json()["stores"]

    assert said(verify=None, audit=None) == (200, "agree")
    assert said(audit="3 rows differ") == (200, "differ")


def test_readyz_says_whether_the_audit_trail_is_whole(client_of: ClientOf, redis_client: redis.Redis) -> None:
    for error, word in ((None, "whole"), ("entry 2 is missing, 3 follows", "broken")):
        state = {"position": "agree", "lag": 0, "at_us": 5, "error": error}
        redis_client.hset(keys.SYNC, "trail", msgspec.json.encode(state))
        answer = client_of(ANONYMOUS).get("/readyz")
        assert (answer.status_code, answer.json()["audit_trail"]) == (200, word)


def test_readyz_names_who_is_behind(client_of: ClientOf, redis_client: redis.Redis) -> None:
    away = {"lag": 312, "error": "ClickHouse at 10.0.0.7:8123 is away", "since_us": 1}
    states = {"clickhouse": away, "django": {"lag": 3, "error": None}, "verify": {"error": None}}
    redis_client.hset(keys.SYNC, mapping={name: msgspec.json.encode(state) for name, state in states.items()})
    answer = client_of(ANONYMOUS).get("/readyz")
    assert (answer.status_code, answer.json()["behind"]) == (200, {"clickhouse": 312})
    assert b"10.0.0.7" not in answer.content


def test_readyz_is_503_and_says_that_redis_is_away(client_of: ClientOf, settings: Settings) -> None:
    client = client_of(ANONYMOUS)
    away = {**settings.CACHES["default"], "LOCATION": f"redis://127.0.0.1:{free_port()}/1"}
    settings.CACHES = {"default": away}
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "ok"
    assert "Connection Error" in answer.json()["redis"]


def test_readyz_is_503_and_says_that_the_database_is_away(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    client = client_of(ANONYMOUS)
    monkeypatch.setitem(connections.settings["default"], "NAME", str(tmp_path / "missing" / "file.sqlite3"))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "unable to open database file" in answer.json()["database"]
    assert answer.json()["redis"] == "ok"


def test_metrics_are_for_staff_or_the_token_and_nobody_else(client_of: ClientOf, settings: Settings) -> None:
    anonymous = client_of(ANONYMOUS)

    def status(token: str | None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        return anonymous.get("/metrics", headers=headers).status_code

    settings.METRICS_TOKEN = ""
    assert [status(token) for token in (None, "", "x")] == [403, 403, 403]
    settings.METRICS_TOKEN = "s3cret"
    assert [status(token) for token in (None, "", "x", "s3cret")] == [403, 403, 403, 200]
    numbers = client_of(ANALYST).get("/metrics").content.decode()
    assert "django_http_requests_total_by_method_total" in numbers
