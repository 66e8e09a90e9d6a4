"""Settings in the admin: who may change them, errors beside their field, what is in force, copies and history."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from redis import Redis

from paperdesk.roles import ADMINISTRATOR, ANALYST, STAFF
from tests.web.conftest import ANONYMOUS, SUPERUSER
from trading.config import load_desk
from trading.domain.settings import settings_of
from trading.models import Instrument, Strategy, Venue
from trading.settings_columns import values_of_row
from trading.settings_desk import current_desk, settings_version
from trading.settings_service import settings_seed
from trading.stores import keys
from trading.stores.desk_store import InForce

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ClientOf = Callable[[str], Client]
STRATEGY = "/admin/trading/strategy/"
PLACES = {
    "/admin/trading/venue/": "okx",
    "/admin/trading/instrument/": "okx:BTCUSDT",
    STRATEGY: "strategy",
}
NOW_US = 1_763_000_000_000_000


@pytest.fixture(autouse=True)
def seeded(db: None, redis_client: Redis) -> None:
    settings_seed("synthetic", NOW_US)


def key_in_address(key: str) -> str:
    return key.replace(":", "_3A").replace("_complete", "_5Fcomplete")


def form_of(row: Any, **changes: Any) -> dict[str, Any]:
    """What a browser sends for a row: its values, a checkbox only when it is ticked."""
    values = {each.name: getattr(row, each.name) for each in settings_of(row.struct)} | changes
    return {name: value for name, value in values.items() if value is not None and value is not False}


def post(client: Client, row: Any, place: str = "", **changes: Any) -> Any:
    where = place or f"/admin/trading/{row._meta.model_name}/{key_in_address(str(row.pk))}/change/"
    return client.post(where, form_of(row, **changes))


def stored(prefix: str = "strategy") -> Strategy:
    return Strategy.objects.get(pk=prefix)


def errors_of(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return {name: list(sentences) for name, sentences in found.items()}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("role", "list_", "page", "add", "delete"),
    [
        (ANONYMOUS, 302, 302, 302, 302),
        (ANALYST, 200, 200, 403, 403),
        (STAFF, 200, 200, 403, 403),
        (ADMINISTRATOR, 200, 200, 200, 403),
        (SUPERUSER, 200, 200, 200, 403),
    ],
)
def test_each_role_may_open_what_is_its_own(
    client_of: ClientOf, place: str, role: str, list_: int, page: int, add: int, delete: int
) -> None:
    client, key = client_of(role), key_in_address(PLACES[place])
    addresses = [place, f"{place}{key}/change/", f"{place}add/", f"{place}{key}/delete/"]
    assert [client.get(address).status_code for address in addresses] == [list_, page, add, delete]


@pytest.mark.parametrize(
    ("role", "status", "after"),
    [(ANONYMOUS, 302, 500), (ANALYST, 403, 500), (STAFF, 403, 500), (ADMINISTRATOR, 302, 650), (SUPERUSER, 302, 650)],
)
def test_only_who_keeps_the_settings_changes_them(client_of: ClientOf, role: str, status: int, after: int) -> None:
    assert post(client_of(role), stored(), leg_out_ms=650).status_code == status
    assert stored().leg_out_ms == after
    chosen = {"action": "switch_off", "_selected_action": "strategy"}
    client_of(role).post(STRATEGY, chosen)
    assert stored().enabled is (after == 500)


def test_a_member_of_staff_with_the_permission_changes_strategies_and_nothing_else(
    client_of: ClientOf, user_of: Callable[[str], User]
) -> None:
    user_of(STAFF).user_permissions.add(Permission.objects.get(codename="change_strategy"))
    assert post(client_of(STAFF), stored(), leg_out_ms=650).status_code == 302
    assert stored().leg_out_ms == 650
    assert post(client_of(STAFF), Venue.objects.get(pk="okx"), book_age_us_max=1).status_code == 403
    assert client_of(STAFF).get(f"{STRATEGY}add/").status_code == 403


def test_a_change_is_saved_with_its_author_history_and_version(client_of: ClientOf) -> None:
    client = client_of(ADMINISTRATOR)
    browsers_lines = stored().pairs.replace("\n", "\r\n")
    sent = form_of(stored(), entry_threshold_bps="17.25", pairs=browsers_lines)
    answer = client.post(f"{STRATEGY}strategy/change/", sent, follow=True)
    assert "Settings version 2: a running engine takes it in within 3 s." in answer.content.decode()
    row = stored()
    assert (row.entry_threshold_bps, row.changed_by, row.settings_version) == (Decimal("17.25"), ADMINISTRATOR, 2)
    history = client.get(f"{STRATEGY}strategy/history/").content.decode()
    changes = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", history)).split())
    assert "Entry threshold bps: 16 → 17.25" in changes and "Pairs:" not in changes
    assert ADMINISTRATOR in history


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"leg_out_ms": "0"}, "leg_out_ms", "strategy strategy: leg_out_ms is 0, allowed is 1 to 3600000"),
        (
            {"position_size_usd": "20001"},
            "position_size_usd",
            "strategy strategy: position_size_usd is 20001, more than starting_capital 20000",
        ),
        ({"entry_threshold_bps": "16.0000000000001"}, "entry_threshold_bps", "12 decimal"),
        ({"entry_threshold_bps": "much"}, "entry_threshold_bps", "Enter a number."),
        ({"hedge": "pray"}, "hedge", "pray"),
        ({"pairs": "binance:BTCUSDT"}, "pairs", "pairs: line 1 is 'binance:BTCUSDT', it must be \"LONG > SHORT\""),
        ({"pairs": ""}, "pairs", "This field is required."),
        (
            {"pairs": "binance:BTCUSDT > mars:BTCUSDT"},
            "pairs",
            "strategy strategy: pair binance:BTCUSDT / mars:BTCUSDT: instrument 'mars:BTCUSDT' is not declared",
        ),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_changes(
    client_of: ClientOf, changes: dict[str, str], field: str, sentence: str
) -> None:
    errors = errors_of(post(client_of(ADMINISTRATOR), stored(), **changes))
    (name,) = errors
    assert name == field
    assert sentence in errors[name][0]
    assert settings_version() == 1
    assert current_desk().desk == load_desk()


def test_a_change_of_an_instrument_that_a_strategy_could_not_live_with_is_refused(client_of: ClientOf) -> None:
    errors = errors_of(post(client_of(ADMINISTRATOR), Instrument.objects.get(pk="okx:BTCUSDT"), shortable="false"))
    (sentences,) = errors.values()
    assert "okx:BTCUSDT is linear_perpetual and cannot be shorted" in sentences[0]
    assert Instrument.objects.get(pk="okx:BTCUSDT").shortable is None


def test_what_identifies_a_row_and_starts_its_numbers_is_not_in_the_form(client_of: ClientOf) -> None:
    page = client_of(ADMINISTRATOR).get(f"{STRATEGY}strategy/change/").content.decode()
    assert 'name="leg_out_ms"' in page
    for name in ("prefix", "starting_capital", "capital_mode"):
        assert f'name="{name}"' not in page
    post(client_of(ADMINISTRATOR), stored(), starting_capital="90000", leg_out_ms=700)
    assert (stored().starting_capital, stored().leg_out_ms) == (Decimal(20000), 700)


def test_every_setting_is_in_the_form_with_its_meaning_unit_range_and_default(client_of: ClientOf) -> None:
    for place, model in (("venue", Venue), ("instrument", Instrument), ("strategy", Strategy)):
        page = client_of(ADMINISTRATOR).get(f"/admin/trading/{place}/add/").content.decode()
        for setting in settings_of(model.struct):
            assert f'name="{setting.name}"' in page
    assert "milliseconds · 1 to 3,600,000 · default 500" in page
    assert "How long the legs may hold unequal quantities" in page


def test_a_strategy_is_copied_under_another_prefix_with_everything_else(client_of: ClientOf) -> None:
    client = client_of(ADMINISTRATOR)
    copying = f"{STRATEGY}add/?copy_of=strategy"
    assert f"{STRATEGY}add/?copy_of=strategy" in client.get(f"{STRATEGY}strategy/change/").content.decode()
    initial = client.get(copying).context["adminform"].form.initial
    assert (initial["prefix"], initial["name"]) == ("", "Both passive, unwind, copy")
    assert initial["pairs"] == stored().pairs
    sent = {**form_of(stored()), **initial, "prefix": "wider", "entry_threshold_bps": "20"}
    assert client.post(f"{STRATEGY}add/", sent).status_code == 302
    copied = values_of_row(Strategy.struct, stored("wider"))
    original = values_of_row(Strategy.struct, stored())
    changed = {"prefix": "wider", "name": "Both passive, unwind, copy", "entry_threshold_bps": Decimal(20)}
    assert copied == {**original, **changed}
    assert [row.prefix for row in Strategy.objects.all()] == ["strategy", "strategy_complete", "wider"]


def test_a_key_that_is_taken_is_refused(client_of: ClientOf) -> None:
    client = client_of(ADMINISTRATOR)
    assert "prefix" in errors_of(post(client, stored(), f"{STRATEGY}add/", leg_out_ms=9))
    taken = errors_of(post(client, Instrument.objects.get(pk="okx:BTCUSDT"), "/admin/trading/instrument/add/"))
    assert taken == {"__all__": ["instrument okx:BTCUSDT exists already"]}
    assert settings_version() == 1


def test_strategies_are_switched_off_and_on_from_the_list(client_of: ClientOf) -> None:
    client = client_of(ADMINISTRATOR)
    chosen = {"action": "switch_off", "_selected_action": ["strategy", "strategy_complete"]}
    answer = client.post(STRATEGY, chosen, follow=True).content.decode()
    assert "Switched off: 2 of 2 strategies." in answer
    assert settings_version() == 2
    assert not Strategy.objects.filter(enabled=True).exists()
    client.post(STRATEGY, {"action": "switch_on", "_selected_action": "strategy"})
    assert (stored().enabled, stored("strategy_complete").enabled) == (True, False)


def test_the_list_says_what_is_in_force_and_since_when(client_of: ClientOf, redis_client: Redis) -> None:
    client = client_of(ANALYST)

    def told(in_force: InForce | None) -> str:
        if in_force is not None:
            redis_client.hset(keys.lease("engine:0/1"), "owner", "test")
            redis_client.hset(keys.SETTINGS_IN_FORCE, "0/1", msgspec.json.encode(in_force))
        found = client.get(STRATEGY).content.decode()
        pills = re.findall(
            r'field-standing"><span class="pill pill-\w+">([^<]+)</span> <span class="since">([^<]*)', found
        )
        return ": ".join(pills[0])

    assert told(None) == "unknown: no engine runs"
    assert told(InForce(0)) == "not yet: a running engine takes it in within 3 s"
    since = {"strategy strategy": NOW_US}
    assert told(InForce(1, "", 5, since)) == "live: since 2025-11-13 02:13:20"
    assert told(InForce(1, "", 5, since, {"strategy strategy": "it waits"})) == "waits: it waits"
    assert told(InForce(0, "desk.toml")) == "elsewhere: the engine runs on the settings of desk.toml"
    Strategy.objects.filter(pk="strategy").update(enabled=False)
    assert told(InForce(1, "", 5, since)) == "off: since 2025-11-13 02:13:20"
