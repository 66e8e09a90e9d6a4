"""One setting by every way in: the admin, the API and the command say the same, and a running engine takes it in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from django.core.management import call_command
from django.test import Client
from redis import Redis

from paperdesk.roles import ADMINISTRATOR
from tests.trading.engine.test_runner import wait_until
from tests.trading.test_settings_live import IN_FORCE_SECONDS_MAX, Running
from tests.web.test_settings_admin import errors_of, post, stored
from trading.config import load_desk
from trading.domain.errors import ConfigurationError
from trading.settings_desk import settings_version
from trading.settings_file import toml_of
from trading.settings_service import settings_seed

pytestmark = [pytest.mark.django_db(transaction=True)]

ClientOf = Callable[[str], Client]


@pytest.fixture
def running(redis_client: Redis) -> Iterator[Running]:
    engine = Running(redis_client)
    try:
        engine.wait_for_version(1)
        wait_until(lambda: engine.runner.report()["messages"] > 0, "the feed delivers")
        yield engine
    finally:
        engine.stop()


def test_a_change_in_the_admin_reaches_a_running_engine_and_the_api_says_so(
    client_of: ClientOf, running: Running
) -> None:
    client = client_of(ADMINISTRATOR)
    engine = running.runner._engine
    assert post(client, stored(), entry_threshold_bps="31.5", hedge="complete").status_code == 302
    assert running.wait_for_version(2) < IN_FORCE_SECONDS_MAX
    strategy = running.strategy("strategy")
    assert (strategy.entry_threshold_bps, strategy.hedge) == (Decimal("31.5"), "complete")
    assert running.runner._engine is engine  # no restart
    page = client.get("/admin/trading/strategy/strategy/change/").content.decode()
    assert re.search(r"In force:.*live", page, flags=re.DOTALL)
    shown = client.get("/api/v1/strategies/strategy/").json()
    assert shown["entry_threshold_bps"] == "31.5"
    assert "leg_out_ms" in errors_of(post(client, stored(), leg_out_ms="0"))
    assert (running.in_force.version, running.strategy("strategy").leg_out_ms) == (2, 500)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("leg_out_ms", 0, "leg_out_ms is 0, allowed is 1 to 3600000"),
        ("entry_threshold_bps", 99999, "entry_threshold_bps is 99999, allowed is -1000 to 10000"),
        ("position_size_usd", 20001, "position_size_usd is 20001, more than starting_capital 20000"),
        ("profit_target_bps", 0, "profit_target_bps is 0, allowed is 0.01 to 10000"),
    ],
)
def test_a_bad_value_gets_one_sentence_in_admin_api_and_command(
    client_of: ClientOf, redis_client: Redis, tmp_path: Path, field: str, value: int, sentence: str
) -> None:
    settings_seed("synthetic", 1_763_000_000_000_000)
    client = client_of(ADMINISTRATOR)
    whole = f"strategy strategy: {sentence}"
    assert errors_of(post(client, stored(), **{field: str(value)})) == {field: [whole]}
    desk: dict[str, Any] = msgspec.to_builtins(load_desk())
    desk["strategies"][0][field] = value
    answer = client.post("/api/v1/settings/check/", orjson.dumps(desk), content_type="application/json")
    assert (answer.status_code, answer.json()) == (400, {"ok": False, "error": whole, "field": field})
    file = tmp_path / "desk.toml"
    line = re.compile(rf"^{field} = .*$", re.MULTILINE)
    text, count = line.subn(f"{field} = {value}", toml_of(load_desk()), count=1)
    assert count == 1
    file.write_text(text)
    for verb in ("check", "import"):
        with pytest.raises(ConfigurationError) as refused:
            call_command("settings", verb, str(file))
        assert (str(refused.value), refused.value.field) == (f"{file}: {whole}", field)
    assert settings_version() == 1
