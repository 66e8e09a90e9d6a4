"""The API: exact numbers, cursor pages, filters that refuse what they do not know, and an honest description."""

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import orjson
import pytest
import redis
from django.core.cache import cache
from django.db import models
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from rest_framework.authtoken.models import Token

from paperdesk.born import BornModel
from paperdesk.columns import unit_of
from paperdesk.embedded.ports import free_port
from paperdesk.mirror import ExactDecimalField, MirroredModel
from paperdesk.roles import ANALYST
from results.models import ResultMetrics, TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.review_models import (
    AuditEntry,
    ReconciliationTolerance,
    Review,
    ReviewCase,
    ReviewComment,
    TradeAdjustment,
)
from tests.web.conftest import ANONYMOUS
from tests.web.rows import NOON, row
from trading import wiring
from trading.domain.evidence import WalkEvidence, encode_evidence
from trading.models import (
    DailyMetrics,
    FundingPayment,
    LegOutEvent,
    OrderFill,
    PaperTrade,
    PortfolioSnapshot,
    ShadowFill,
)
from trading.stores import keys

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ENDPOINTS: dict[str, type[MirroredModel | BornModel]] = {
    "trades": PaperTrade,
    "leg-outs": LegOutEvent,
    "funding-payments": FundingPayment,
    "fills": OrderFill,
    "shadow-fills": ShadowFill,
    "daily-metrics": DailyMetrics,
    "portfolio-snapshots": PortfolioSnapshot,
    "results": TradeResult,
    "result-metrics": ResultMetrics,
    "reconciliations": TradeReconciliation,
    "reconciliation-breaks": TradeReconciliationBreak,
    "review-cases": ReviewCase,
    "reviews": Review,
    "review-comments": ReviewComment,
    "trade-adjustments": TradeAdjustment,
    "tolerances": ReconciliationTolerance,
    "audit-entries": AuditEntry,
}


@pytest.fixture
def analyst(client_of: Callable[[str], Client]) -> Client:
    return client_of(ANALYST)


def later(seconds: int) -> datetime.datetime:
    return NOON + datetime.timedelta(seconds=seconds)


def test_the_fills_of_a_trade_carry_their_evidence_as_json(analyst: Client) -> None:
    walk = WalkEvidence(
        ((Decimal("49980.0"), Decimal("0.004")),), 1, Decimal("0.004"), Decimal("199.92"), None, 7, "ok"
    )
    fill = row(OrderFill, evidence=encode_evidence(walk))
    for saved in (fill, row(OrderFill), row(OrderFill, evidence="{cut off")):
        saved.save()
    answer = analyst.get("/api/v1/fills/", {"trade_id": str(fill.trade_id)})
    (found,) = answer.json()["results"]
    assert found["evidence"] == {
        "kind": "walk", "levels": [["49980.0", "0.004"]], "levels_count": 1, "quantity": "0.004", "cost": "199.92",
        "limit": None, "book_us": 7, "book_state": "ok",
    }  # fmt: skip
    every = [each["evidence"] for each in analyst.get("/api/v1/fills/").json()["results"]]
    assert None in every
    assert "{cut off" in every


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_table_lists_its_rows_and_shows_one_with_every_column(analyst: Client, endpoint: str) -> None:
    model = ENDPOINTS[endpoint]
    saved = row(model)
    saved.save()
    listed = analyst.get(f"/api/v1/{endpoint}/").json()["results"]
    shown = analyst.get(f"/api/v1/{endpoint}/{saved.pk}/").json()
    assert listed == [shown]
    assert set(shown) == {field.name for field in model._meta.fields}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_unknown_key_is_404_whatever_it_looks_like(analyst: Client, endpoint: str) -> None:
    for key in (uuid.uuid4(), "nothing"):
        assert analyst.get(f"/api/v1/{endpoint}/{key}/").status_code == 404


def test_decimals_are_strings_with_all_digits_times_have_microseconds_and_z(analyst: Client) -> None:
    trade = row(PaperTrade, actual_profit_usd=Decimal("-0.000000000001"), position_size_usd=Decimal(5000))
    trade.save()
    shown = analyst.get(f"/api/v1/trades/{trade.pk}/").json()
    assert shown["actual_profit_usd"] == "-0.000000000001"
    assert shown["position_size_usd"] == "5000"
    assert shown["entry_time"] == "2026-01-31T12:00:00.250001Z"
    assert shown["exit_long_price"] is None


def test_pages_follow_each_other_without_gap_or_repetition_while_rows_arrive(analyst: Client) -> None:
    trades = [row(PaperTrade, entry_time=later(i // 3)) for i in range(25)]  # three share each instant
    PaperTrade.objects.bulk_create(trades)
    seen: list[str] = []
    address = "/api/v1/trades/?page_size=4"
    while address:
        page = analyst.get(address).json()
        seen += [line["id"] for line in page["results"]]
        row(PaperTrade, entry_time=later(1000)).save()  # arrives before the page that comes next
        address = page["next"]
    newest_first = sorted(trades, key=lambda trade: (-trade.entry_time.timestamp(), trade.id))
    assert seen == [str(trade.id) for trade in newest_first]


def test_a_page_takes_one_query_on_the_table_and_counts_nothing(
    analyst: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    PaperTrade.objects.bulk_create(row(PaperTrade) for _ in range(5))
    with django_assert_max_num_queries(10) as queries:
        analyst.get("/api/v1/trades/?page_size=2")
    on_trades = [query["sql"] for query in queries if 'FROM "paper_trade"' in query["sql"]]
    assert len(on_trades) == 1 and "COUNT" not in on_trades[0] and "LIMIT" in on_trades[0]


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("actual_profit_usd_min=0.1234567890123", "actual_profit_usd_min", "no more than 12 decimal places"),
        ("actual_profit_usd_min=ten", "actual_profit_usd_min", "'ten'"),
        ("actual_profit_usd_min=NaN", "actual_profit_usd_min", "'NaN'"),
        ("position_size_usd_max=1e27", "position_size_usd_max", "'1e27'"),
        ("simbol=BTCUSDT", "simbol", "there is no parameter 'simbol'; did you mean 'symbol'?"),
        ("zzz=1", "zzz", "known are"),
        ("since=yesterday", "since", "since is 'yesterday'"),
        ("status=Open", "status", "Open is not one of the available choices"),
        ("page_size=0", "page_size", "'0' is not a whole number from 1 to 1000"),
        ("page_size=many", "page_size", "'many' is not"),
        ("page_size=1001", "page_size", "'1001' is not"),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(analyst: Client, query: str, field: str, said: str) -> None:
    answer = analyst.get(f"/api/v1/trades/?{query}")
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert said in answer.json()[field][0]


@pytest.mark.parametrize("cursor", ["nonsense", "cD1hYmM=", "cD0yMDI2", "bz0tMQ=="])  # "p=abc", "p=2026", "o=-1"
def test_a_cursor_that_the_api_did_not_make_is_404(analyst: Client, cursor: str) -> None:
    answer = analyst.get("/api/v1/trades/", {"cursor": cursor})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid cursor"})


def test_filters_take_exactly_the_rows_that_they_say(analyst: Client) -> None:
    a = row(PaperTrade, entry_time=later(0), actual_profit_usd=Decimal("9.5"), long_exchange="okx")
    b = row(PaperTrade, entry_time=later(10), actual_profit_usd=Decimal("10.5"), short_exchange="okx", symbol="ETHUSDT")
    c = row(PaperTrade, entry_time=later(20), actual_profit_usd=Decimal("-10.5"), status="Active", legged_out=True)
    PaperTrade.objects.bulk_create([a, b, c])
    names = {str(a.id): "a", str(b.id): "b", str(c.id): "c"}

    def found(**query: str) -> str:
        answer = analyst.get("/api/v1/trades/", query)
        assert answer.status_code == 200, answer.content
        return "".join(sorted(names[line["id"]] for line in answer.json()["results"]))

    assert found() == "abc"
    assert found(actual_profit_usd_min="9.5") == "ab"
    assert found(actual_profit_usd_min="9.500000000001") == "b"
    assert found(actual_profit_usd_max="-10.5") == "c"
    assert found(since=later(10).isoformat()) == "bc"  # the start belongs to the period, the end does not
    assert found(until=later(10).isoformat().replace("+00:00", "Z")) == "a"
    assert found(exchange="okx") == "ab"
    assert found(long_exchange="okx") == "a"
    assert found(symbol="ETHUSDT", status="Closed") == "b"
    assert found(status="Active") == "c"
    assert found(legged_out="true") == "c"
    assert found(portfolio="nobody") == ""


def test_a_token_opens_the_api_and_a_wrong_one_does_not(
    client_of: Callable[[str], Client], user_of: Callable[[str], Any]
) -> None:
    anonymous = client_of(ANONYMOUS)
    token = Token.objects.create(user=user_of(ANALYST))
    asked = anonymous.get("/api/v1/trades/")
    assert (asked.status_code, asked["WWW-Authenticate"]) == (401, "Token")
    assert anonymous.get("/api/v1/trades/", headers={"Authorization": f"Token {token.key}"}).status_code == 200
    assert anonymous.get("/api/v1/trades/", headers={"Authorization": "Token wrong"}).status_code == 401


def test_who_asks_too_often_is_told_to_wait(analyst: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.clear()
    monkeypatch.setattr("rest_framework.throttling.UserRateThrottle.rate", "2/min", raising=False)
    codes = [analyst.get("/api/v1/daily-metrics/").status_code for _ in range(3)]
    assert codes == [200, 200, 429]


def test_the_schema_describes_every_number_with_its_unit(analyst: Client) -> None:
    answer = analyst.get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    parts = orjson.loads(answer.content)["components"]["schemas"]
    for model in ENDPOINTS.values():
        described = parts[model.__name__]["properties"]
        for field in model._meta.fields:
            unit = unit_of(field)
            if isinstance(field, ExactDecimalField):
                assert described[field.name]["type"] == "string", field
            if isinstance(field, (ExactDecimalField, models.IntegerField, models.DateTimeField)):
                assert unit, f"{model.__name__}.{field.name} has no unit"
                assert unit.words.lower().rstrip(".") in described[field.name]["description"].lower(), field


def test_the_docs_page_has_no_inline_script_or_style(analyst: Client) -> None:
    page = analyst.get("/api/docs/").content.decode()
    assert "<style" not in page and "style=" not in page
    assert "<script>" not in page
    script = analyst.get("/api/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")


# The portfolios as they stand now ----------------------------------------------------------------------------------
METRICS = {
    "timestamp": 1704067320,
    "total_trades": 0,
    "win_rate": 0,
    "cumulative_pnl": 250.5,
    "undefined": ["win_rate"],
}
ABOUT = {"name": "Both passive", "starting_capital": "20000", "started_us": 1704067200000000}


def test_portfolios_are_the_documents_metrics_with_null_for_what_is_undefined(
    analyst: Client, redis_client: redis.Redis
) -> None:
    redis_client.hset(keys.PORTFOLIOS, mapping={"strategy": orjson.dumps(ABOUT), "taker": orjson.dumps(ABOUT)})
    redis_client.set("strategy:monitor:portfolio_metrics", orjson.dumps(METRICS))
    first, second = answered(analyst, "/api/v1/portfolios/")
    assert first == {"prefix": "strategy", **ABOUT, "metrics": {**METRICS, "win_rate": None}, "trouble": ""}
    assert second["metrics"] is None and "taker:monitor:portfolio_metrics is empty" in second["trouble"]
    assert analyst.get("/api/v1/portfolios/taker/").json() == second
    missing = analyst.get("/api/v1/portfolios/nobody/")
    assert (missing.status_code, missing.json()) == (404, {"detail": "there is no portfolio 'nobody'"})


def test_portfolio_metrics_that_are_no_object_are_trouble_and_no_error(
    analyst: Client, redis_client: redis.Redis
) -> None:
    redis_client.hset(keys.PORTFOLIOS, "strategy", orjson.dumps(ABOUT))
    redis_client.set("strategy:monitor:portfolio_metrics", b"[1]")
    (only,) = answered(analyst, "/api/v1/portfolios/")
    assert only["metrics"] is None
    assert only["trouble"] == "strategy:monitor:portfolio_metrics does not hold a JSON object"


def answered(analyst: Client, address: str) -> Any:
    answer = analyst.get(address)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_portfolios_are_503_while_redis_is_away(analyst: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = redis.Redis(port=free_port(), socket_connect_timeout=1)
    monkeypatch.setattr(wiring, "page_redis_client", lambda: nobody)
    answer = analyst.get("/api/v1/portfolios/")
    assert answer.status_code == 503
    assert "Redis did not answer to reading the portfolios" in answer.json()["detail"]
