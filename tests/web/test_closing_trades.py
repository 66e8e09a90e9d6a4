"""A person closes a trade: by the API and in the admin, staff only, with an answer that says what will happen."""

from collections.abc import Callable

import pytest
import redis
from django.test import Client
from django.utils import timezone

from paperdesk.roles import ADMINISTRATOR, ANALYST, STAFF
from tests.trading.engine.scene import desk, strategy
from tests.trading.stores.made import TRADE_ID, active_trade, closed_trade, pending_trade
from tests.web.conftest import ANONYMOUS, SUPERUSER
from tests.web.rows import row
from trading import wiring
from trading.domain.trades import Trade
from trading.models import PaperTrade
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.errors import RedisAway
from trading.stores.wire import encode_trade

pytestmark = pytest.mark.django_db
ClientOf = Callable[[str], Client]
ADDRESS = f"/api/v1/trades/{TRADE_ID}/exit/"


def keep(client: redis.Redis, trade: Trade, raw: bytes | None = None) -> None:
    place = keys.PortfolioKeys(trade.portfolio)
    key = place.active_trade(trade.id) if trade.is_open else place.closed_trade(trade.id)
    client.set(key, raw or encode_trade(trade))


def commands(client: redis.Redis) -> list[tuple[str, str, str]]:
    return [(command.prefix, command.trade_id, command.reason) for command in CommandStore(client).read("0/1")]


@pytest.mark.parametrize("role", [STAFF, ADMINISTRATOR, SUPERUSER])
def test_staff_closes_an_active_trade_and_reads_what_will_happen(
    role: str, client_of: ClientOf, redis_client: redis.Redis
) -> None:
    keep(redis_client, active_trade())
    answer = client_of(role).post(ADDRESS, {"reason": "the venue is about to go down"})
    assert answer.status_code == 202, answer.content
    assert answer.json()["message"] == (
        f"Trade {TRADE_ID} (BTCUSDT, strategy): the engine was asked to close both legs by market orders. It obeys at "
        "once if it runs and the trade is still Active; after 3 s the request is void."
    )
    assert commands(redis_client) == [("strategy", TRADE_ID, "manual")]


def test_the_answer_names_the_limit_orders_of_the_strategy(client_of: ClientOf, redis_client: redis.Redis) -> None:
    wiring.desk_store().publish(desk(strategy(exit_order="limit_then_market")))
    keep(redis_client, active_trade())
    message = client_of(STAFF).post(ADDRESS).json()["message"]
    assert "by limit orders, and at market what they leave after 5 s." in message


@pytest.mark.parametrize(("role", "status"), [(ANALYST, 403), (ANONYMOUS, 401)])
def test_nobody_else_may(role: str, status: int, client_of: ClientOf, redis_client: redis.Redis) -> None:
    keep(redis_client, active_trade())
    assert client_of(role).post(ADDRESS).status_code == status
    assert commands(redis_client) == []


@pytest.mark.parametrize("trade", [pending_trade(), closed_trade()], ids=["pending", "closed"])
def test_a_trade_that_is_not_active_is_refused_by_its_state(
    trade: Trade, client_of: ClientOf, redis_client: redis.Redis
) -> None:
    keep(redis_client, trade)
    answer = client_of(STAFF).post(ADDRESS)
    assert answer.status_code == 400
    assert f"trade {TRADE_ID} is {trade.status}; only an Active trade can be closed" in answer.content.decode()
    assert commands(redis_client) == []


def test_a_trade_of_another_program_is_refused(client_of: ClientOf, redis_client: redis.Redis) -> None:
    raw = encode_trade(active_trade()).replace(b'"version":', b'"their_version":')
    keep(redis_client, active_trade(), raw)
    answer = client_of(STAFF).post(ADDRESS)
    assert answer.status_code == 400
    assert "was written by another program" in answer.content.decode()
    assert commands(redis_client) == []


def test_an_unknown_trade_is_a_404(client_of: ClientOf, redis_client: redis.Redis) -> None:
    assert client_of(STAFF).post(ADDRESS).status_code == 404


def test_a_note_that_is_too_long_is_refused(client_of: ClientOf, redis_client: redis.Redis) -> None:
    keep(redis_client, active_trade())
    assert client_of(STAFF).post(ADDRESS, {"reason": "x" * 201}).status_code == 400
    assert commands(redis_client) == []


def test_without_redis_the_answer_is_that_nothing_was_sent(
    client_of: ClientOf, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def send_exit(self, *_: object) -> str:
            raise RedisAway("Redis did not answer")

    keep(redis_client, active_trade())
    monkeypatch.setattr(wiring, "command_store", Away)
    assert client_of(STAFF).post(ADDRESS).status_code == 503


def chosen(client: Client) -> str:
    data = {"action": "close_trades", "_selected_action": [TRADE_ID]}
    return client.post("/admin/trading/papertrade/", data, follow=True).content.decode()


def test_the_admin_closes_the_selected_trades(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID, status="Active", entry_time=timezone.now()).save()
    keep(redis_client, active_trade())
    assert "the engine was asked to close both legs by market orders" in chosen(client_of(STAFF))
    assert commands(redis_client) == [("strategy", TRADE_ID, "manual")]


def test_the_admin_says_why_a_trade_is_not_closed(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID, status="Active", entry_time=timezone.now()).save()  # the table is behind
    keep(redis_client, closed_trade())
    assert "is Closed; only an Active trade can be closed" in chosen(client_of(STAFF))
    assert commands(redis_client) == []


def test_an_analyst_is_not_offered_the_action(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID, status="Active", entry_time=timezone.now()).save()
    keep(redis_client, active_trade())
    client = client_of(ANALYST)
    assert "close_trades" not in client.get("/admin/trading/papertrade/").content.decode()
    chosen(client)
    assert commands(redis_client) == []
