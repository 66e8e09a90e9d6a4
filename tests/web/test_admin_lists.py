"""The admin's lists of every durable table: found by themselves, narrowed by any filters, and always from an index."""

import datetime
import html
import itertools
import json
import random
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection, models
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from paperdesk import combinations
from paperdesk.combinations import END, Narrowing, NewestRows, combination_of
from paperdesk.mirror import ExactDecimalField
from paperdesk.roles import ANALYST
from paperdesk.tables import TABLES
from results.models import DeadLetter, ResultMetrics, TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.review_models import Review, ReviewCase
from tests.web.conftest import SUPERUSER
from tests.web.rows import row
from trading.models import FundingPayment, LegOutEvent, OrderFill, PaperTrade, ShadowFill

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
ClientOf = Callable[[str], Client]

admin.autodiscover()
DURABLE = [model for model in apps.get_models() if model._meta.db_table in TABLES]
NARROWED = [model for model in [*DURABLE, DeadLetter] if combination_of(model)]
COLUMNS = {"portfolio", "symbol", "exchange", "status", "state", "exit_reason", "reconciliation_status", "kind"}
NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def analyst(client_of: ClientOf) -> Client:
    return client_of(ANALYST)


@pytest.fixture
def hopping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are enough for every way to an answer."""
    monkeypatch.setattr(combinations, "LATEST_LOOKED_AT", 5)
    monkeypatch.setattr(combinations, "FEW", 3)
    monkeypatch.setattr(combinations, "MERGED_AT_ONCE", 4)


def name_of(value: Any) -> str:
    return str(value._meta.db_table) if hasattr(value, "_meta") else str(value)


def place_of(model: Any, key: object = None) -> str:
    place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    return place if key is None else f"{place}{key}/change/"


def row_of(model: Any, **values: Any) -> Any:
    """An unsaved row of any table, an hour old."""
    made = {field.name: _value(field) for field in model._meta.fields}
    if model is Review:
        made |= {"outcome": "", "decided_at": None}
    return model(**made | values)


def _value(field: Any) -> Any:
    match field:
        case _ if field.null and not isinstance(field, models.CharField):
            return None
        case models.UUIDField():
            return uuid.uuid4()
        case models.BooleanField():
            return False
        case ExactDecimalField():
            return Decimal("1.5")
        case models.DateTimeField():
            return timezone.now() - HOUR
        case models.DateField():
            return (timezone.now() - HOUR).date()
        case models.IntegerField():
            return random.randrange(2**31) if field.primary_key else 7
        case _:
            return uuid.uuid4().hex if field.primary_key else "x"


def filters_of(model: Any) -> list[Any]:
    return [each for each in admin.site._registry[model].list_filter if hasattr(each, "parameter_name")]


# Every table --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("model", DURABLE, ids=name_of)
def test_every_durable_table_has_a_list_that_opens(client_of: ClientOf, model: Any) -> None:
    assert model in admin.site._registry, f"{model._meta.db_table} has no list in the admin"
    assert client_of(SUPERUSER).get(place_of(model)).status_code == 200


@pytest.mark.parametrize("model", NARROWED, ids=name_of)
def test_a_list_has_a_filter_for_each_of_its_columns_that_people_look_for(model: Any) -> None:
    columns = COLUMNS & {field.name for field in model._meta.fields}
    offered = {each.parameter_name for each in filters_of(model)}
    assert columns | {"period"} <= offered
    assert ("long_exchange" in {field.name for field in model._meta.fields}) <= ("venue" in offered)


@pytest.mark.parametrize("model", NARROWED, ids=name_of)
def test_the_index_of_a_list_has_every_column_that_a_filter_asks_for(model: Any) -> None:
    known = combination_of(model)
    assert known is not None
    for each in filters_of(model):
        asked = each.narrowed(model, "x").equal
        assert {column for columns, _ in asked for column in columns} <= {*known.columns}, each.title


@pytest.mark.parametrize("model", [ReviewCase, Review, TradeResult], ids=name_of)
def test_a_text_that_no_row_can_have_is_refused_by_the_list_and_by_its_export(client_of: ClientOf, model: Any) -> None:
    wanted = {each.parameter_name: "x\0" for each in filters_of(model)}
    client, refused = client_of(SUPERUSER), f"{place_of(model)}?e=1"
    for name, value in wanted.items():
        assert client.get(place_of(model), {name: value})["Location"] == refused
    address = f"{place_of(model)}export/?{urlencode(wanted)}"
    assert client.post(address, {"format": "csv"})["Location"] == refused


# Right ---------------------------------------------------------------------------------------------------------------
VALUES: dict[str, list[Any]] = {
    "symbol": ["BTCUSDT", "ETHUSDT", f"ODD{END}USDT", ""], "exchange": ["bybit", None, ""],
    "long_exchange": ["binance", "okx"], "short_exchange": ["bybit", "okx"], "portfolio": ["strategy", "taker"],
    "state": ["executed", "failed"], "role": ["entry", None], "direction": ["buy", "sell"],
    "kind": ["latency", "other"],
    "status": ["Active", "Closed"], "exit_reason": ["manual", None], "is_failure": [True, False],
}  # fmt: skip


@pytest.mark.parametrize("model", [PaperTrade, TradeResult, TradeReconciliationBreak], ids=name_of)
@pytest.mark.parametrize("is_oldest_first", [False, True])
def test_any_two_conditions_find_what_a_scan_of_the_table_finds(
    hopping: None, model: Any, is_oldest_first: bool
) -> None:
    chance, known = random.Random(5), combination_of(model)
    assert known is not None
    time = model._meta.ordering[0].removeprefix("-")
    model.objects.bulk_create(
        row_of(
            model, **{c: chance.choice(VALUES[c]) for c in known.columns}, **{time: NOON + HOUR * chance.randrange(40)}
        )
        for _ in range(150)
    )
    single: list[tuple[tuple[str, ...], Any]] = []
    single += [((column,), value) for column in known.columns for value in VALUES[column] if value is not None]
    if model is PaperTrade:
        single += [(("long_exchange", "short_exchange"), venue) for venue in ("okx", "bybit", "nowhere")]
    asked = [(one,) for one in single] + [*itertools.combinations(single, 2)]
    for equal in chance.sample(asked, 60):
        for since in ({}, {f"{time}__gte": NOON + HOUR * 30}):
            narrowing = Narrowing(equal, since)
            rows = NewestRows(model.objects.all(), model._meta.ordering, oldest_first=is_oldest_first)
            found = [model._meta.pk.to_python(key) for key in rows.keys(narrowing, 20)]
            scanned = model.objects.filter(narrowing.condition())
            scanned = scanned.reverse() if is_oldest_first else scanned
            assert found == [*scanned.values_list("pk", flat=True)[:20]], narrowing


def test_a_list_turns_round_and_keeps_the_order_of_one_instant(analyst: Client) -> None:
    rows = [row(TradeResult, executed_at=NOON) for _ in range(3)] + [row(TradeResult, executed_at=NOON + HOUR)]
    TradeResult.objects.bulk_create(rows)
    listed = admin.site._registry[TradeResult].get_list_display(RequestFactory().get("/"))
    at = 1 + [each.__name__ for each in listed].index("executed_at") - 1
    shown = re.compile(r'class="row-id" href="/admin/results/traderesult/[^"]+" title="([^"]+)"')
    newest = shown.findall(analyst.get(place_of(TradeResult)).content.decode())
    assert newest == [str(rows[3].pk), *sorted(str(each.pk) for each in rows[:3])]
    turned = shown.findall(analyst.get(f"{place_of(TradeResult)}?o={at}").content.decode())
    again = shown.findall(analyst.get(f"{place_of(TradeResult)}?o=-{at}").content.decode())
    assert turned == newest[::-1] and again == newest


def test_an_address_asks_for_what_the_filters_offer_and_nothing_else(analyst: Client) -> None:
    for asked in ("symbol__contains=B", "trade_id=1", "lot_size__gt=1"):
        refused = analyst.get(f"{place_of(TradeResult)}?{asked}")
        assert (refused.status_code, refused["Location"]) == (302, f"{place_of(TradeResult)}?e=1"), asked
    assert analyst.get(f"{place_of(TradeResult)}?period=century").status_code == 200


# From an index -------------------------------------------------------------------------------------------------------
def plan_of(sql: str) -> str:
    """How the database answers, in its words; PostgreSQL scans a table only where nothing else is possible."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            return "\n".join(line[-1] for line in cursor.fetchall())
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        found = cursor.fetchone()[0]
        return json.dumps(found if isinstance(found, list) else json.loads(found))


def scans(plan: str, table: str) -> bool:
    if connection.vendor == "sqlite":
        return bool(re.search(rf"^SCAN {table}$", plan, re.MULTILINE))
    return '"Seq Scan"' in plan


def asked_of(model: Any) -> list[dict[str, str]]:
    """Nothing; each filter with a value that is there and one that is not; each two filters at once."""
    single = []
    for each in filters_of(model):
        offered = [value for value, _ in each.choices_now()] or ["x"]
        single.append([{each.parameter_name: value} for value in (offered[0], "nowhere")])
    pairs = [{**one[0], **other[0]} for one, other in itertools.combinations(single, 2)]
    return [{}, *itertools.chain(*single), *pairs]


@pytest.mark.parametrize("model", NARROWED, ids=name_of)
def test_whatever_is_asked_of_a_list_an_index_answers_it_and_nothing_is_counted(
    hopping: None, analyst: Client, model: Any
) -> None:
    known = combination_of(model)
    assert known is not None
    for values in (PaperTrade, TradeResult):  # a filter without a value to offer is not there
        row_of(values).save()
    model.objects.bulk_create(row_of(model, **{known.columns[0]: f"{n % 7}"}) for n in range(60))
    table = model._meta.db_table
    for asked in asked_of(model):
        with CaptureQueriesContext(connection) as queries:
            assert analyst.get(f"{place_of(model)}?{urlencode(asked)}").status_code == 200
        of_table = [query["sql"] for query in queries if f'"{table}"' in query["sql"]]
        is_told_before = {*asked} <= {"period"} or "nowhere" in asked.values()  # some refuse that by themselves
        assert any("RECURSIVE" in sql for sql in of_table) or is_told_before, f"{asked} is not hopped for"
        for sql in of_table:
            assert "LIMIT" in sql, sql
            assert "DISTINCT" not in sql and "COUNT(" not in sql, sql
            plan = plan_of(sql)
            assert not scans(plan, table), f"{asked}\n{sql}\n{plan}"
            if "UNION ALL" in sql and "RECURSIVE" not in sql:
                assert "TEMP B-TREE" not in plan and '"Sort"' not in plan, f"{sql}\n{plan}"


@pytest.mark.parametrize("model", NARROWED, ids=name_of)
def test_every_search_is_answered_by_an_index(analyst: Client, model: Any) -> None:
    model.objects.bulk_create(row_of(model) for _ in range(20))
    table = model._meta.db_table
    with CaptureQueriesContext(connection) as queries:
        assert analyst.get(f"{place_of(model)}?q={uuid.uuid4()}").status_code == 200
    for sql in (query["sql"] for query in queries if f'FROM "{table}"' in query["sql"]):
        assert not scans(plan_of(sql), table), sql


# The page of a trade -------------------------------------------------------------------------------------------------
def test_the_page_of_a_trade_shows_and_links_everything_that_belongs_to_it(analyst: Client) -> None:
    trade = row(PaperTrade, legged_out=True)
    of_trade: dict[str, Any] = {"trade_id": trade.id}
    result = row(TradeResult, **of_trade)
    failed = row(TradeReconciliation, **of_trade, reconciliation_status="failed")
    rows = [
        trade,
        result,
        failed,
        row(ResultMetrics, result_id=result.pk, execution_latency_ms=120),
        row(OrderFill, **of_trade),
        row(ShadowFill, **of_trade),
        row(FundingPayment, **of_trade),
        row(LegOutEvent, **of_trade),
        row(TradeReconciliationBreak, **of_trade, is_failure=True),
        row_of(ReviewCase, **of_trade, state="open", severity=3, assignee="", resolution=None),
    ]
    for saved in rows:
        saved.save()
    page = html.unescape(analyst.get(place_of(PaperTrade, trade.pk)).content.decode())
    for saved in rows[1:]:
        assert f'href="{place_of(type(saved), saved.pk)}"' in page, type(saved).__name__
    assert f'href="#result-of-{result.order_id}"' in page and f'id="result-of-{result.order_id}"' in page
    assert "adverse slippage" in page


def test_the_page_of_a_trade_opens_without_anything_that_belongs_to_it(analyst: Client) -> None:
    trade = row(PaperTrade, status="Active", exit_reason=None)
    trade.save()
    page = analyst.get(place_of(PaperTrade, trade.pk)).content.decode()
    assert "A trade is reconciled when it has closed." in page
    assert "No fills yet." in page
