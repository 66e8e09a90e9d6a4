"""The trading app's clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from paperdesk.embedded.ports import free_port
from trading import tasks, wiring
from trading.stores.errors import RedisAway


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    _forget()
    yield
    _forget()


def _forget() -> None:
    for cached in (wiring.redis_client, wiring.step_redis_client):
        cached.cache_clear()


def test_the_client_is_made_once_and_answers_bytes(redis_client: Any) -> None:
    client = wiring.redis_client()
    client.set("key", "value")
    assert client.get("key") == b"value" and wiring.redis_client() is client


def test_without_an_address_the_error_says_what_to_do(settings: Any) -> None:
    settings.REDIS_URL = ""
    with pytest.raises(RedisAway, match="start the desk with `make run` or set REDIS_URL"):
        wiring.redis_client()


def test_without_a_server_the_error_names_the_address_and_no_password(settings: Any) -> None:
    port = free_port()
    settings.REDIS_URL = f"redis://user:secret@127.0.0.1:{port}/3"
    with pytest.raises(RedisAway) as refusal:
        wiring.redis_client()
    assert f"No Redis answers at redis://127.0.0.1:{port}/3: start the desk with `make run`" in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_every_store_is_made(redis_client: Any) -> None:
    assert wiring.portfolio_store("strategy").load() == (None, {})
    assert wiring.monitor_store("strategy").read() is None
    assert wiring.market_store().quotes() == {}
    assert wiring.command_store().read("engine") == []
    assert wiring.snapshot_store().newest() is None
    assert wiring.lease("engine").acquire() == 1
    assert wiring.outbox().table("paper_trade").key == "id"
    assert wiring.step_runner() is not None


def test_a_tick_that_redis_does_not_allow_is_a_sentence_and_no_error(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wiring.watch.cache_clear()
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    tasks.monitor_tick()
    assert ["monitor waits" in record.getMessage() for record in caplog.records] == [True]
