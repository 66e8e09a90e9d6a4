"""Settings through the API: as they are, with units, and whether they are in force; a check that changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest
from django.test import Client
from redis import Redis

from paperdesk.roles import ANALYST
from tests.web.conftest import ANONYMOUS
from trading.config import desk_of, load_desk
from trading.domain.settings import settings_of
from trading.models import Instrument, Strategy, Venue
from trading.settings_desk import settings_version
from trading.settings_service import settings_seed

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

PLACES = {"venues": Venue, "instruments": Instrument, "strategies": Strategy}


@pytest.fixture
def analyst(client_of: Callable[[str], Client], redis_client: Redis) -> Client:
    settings_seed("synthetic", 1_763_000_000_000_000)
    return client_of(ANALYST)


def check(client: Client, desk: Any) -> Any:
    return client.post("/api/v1/settings/check/", orjson.dumps(desk), content_type="application/json")


@pytest.mark.parametrize("place", PLACES)
def test_each_kind_lists_its_rows_with_every_setting_and_how_they_stand(analyst: Client, place: str) -> None:
    listed = analyst.get(f"/api/v1/{place}/").json()
    model = PLACES[place]
    assert len(listed) == model.objects.count()
    known = {setting.name for setting in settings_of(model.struct)}
    assert set(listed[0]) == known | {"settings_version", "changed_at", "changed_by", "in_force"}
    key = model.objects.all()[0].pk
    assert analyst.get(f"/api/v1/{place}/{key}/").json() == listed[0]
    assert listed[0]["in_force"] == {"state": "unknown", "since_us": None, "sentence": "no engine runs"}
    assert analyst.get(f"/api/v1/{place}/nobody/").status_code == 404
    assert analyst.post(f"/api/v1/{place}/", {}).status_code in (403, 405)
    assert "there is no parameter 'x'" in analyst.get(f"/api/v1/{place}/?x=1").json()["x"][0]


def test_numbers_are_exact_and_pairs_have_their_legs(analyst: Client) -> None:
    shown = analyst.get("/api/v1/strategies/strategy/").json()
    assert (shown["entry_threshold_bps"], shown["starting_capital"], shown["leg_out_ms"]) == ("16", "20000", 500)
    assert shown["pairs"][0] == {"long": "binance:BTCUSDT", "short": "bybit:BTCUSDT"}
    assert analyst.get("/api/v1/venues/bybit/").json()["taker_fee_rate"] == "0.00055"


def test_the_schema_tells_meaning_unit_range_and_default_of_each_setting(analyst: Client) -> None:
    answer = analyst.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    parts = orjson.loads(answer.content)["components"]["schemas"]
    for model in PLACES.values():
        described = parts[f"{model.__name__}Settings"]["properties"]
        for setting in settings_of(model.struct):
            said = described[setting.name]["description"]
            assert setting.meaning in said and setting.unit in said and setting.range_text in said


def test_the_whole_desk_comes_as_a_settings_file_has_it_and_checks(analyst: Client) -> None:
    desk = analyst.get("/api/v1/settings/").json()
    assert desk.pop("version") == 1
    assert desk_of(desk) == load_desk()
    assert check(analyst, desk).json() == {"ok": True, "error": "", "field": ""}


def test_a_wrong_desk_gets_the_sentence_that_admin_and_command_give_and_nothing_changes(analyst: Client) -> None:
    desk: dict[str, Any] = msgspec.to_builtins(load_desk())
    desk["strategies"][0]["leg_out_ms"] = 0
    answer = check(analyst, desk)
    sentence = "strategy strategy: leg_out_ms is 0, allowed is 1 to 3600000"
    assert (answer.status_code, answer.json()) == (400, {"ok": False, "error": sentence, "field": "leg_out_ms"})
    desk["strategies"][0]["leg_out_ms"] = 500
    desk["venues"][0]["maker_fee_rate"] = 0.0003
    assert check(analyst, desk).status_code == 200
    assert check(analyst, [1]).status_code == 400
    assert check(analyst, {"venues": 1}).status_code == 400
    assert settings_version() == 1


def test_settings_are_for_who_is_logged_in(analyst: Client, client_of: Callable[[str], Client]) -> None:
    for place in (*PLACES, "settings"):
        assert client_of(ANONYMOUS).get(f"/api/v1/{place}/").status_code == 401
