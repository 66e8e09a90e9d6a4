"""The admin's lists and pages of mirrored tables: for reading, exact, quick on large tables, and linked."""

import datetime
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from paperdesk import bounded_list
from paperdesk.known_values import known_values
from paperdesk.mirror_admin import MirrorAdmin
from paperdesk.roles import ANALYST
from results.domain.outcomes import result_id_of
from results.models import ResultMetrics, TradeReconciliation, TradeReconciliationBreak, TradeResult
from results.review_models import ReconciliationTolerance, Review
from tests.web.conftest import SUPERUSER
from tests.web.rows import NOON, row
from trading.models import (
    DailyMetrics,
    FundingPayment,
    LegOutEvent,
    OrderFill,
    PaperTrade,
    PortfolioSnapshot,
    ShadowFill,
    Venue,
)

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

MODELS = [
    PaperTrade,
    LegOutEvent,
    FundingPayment,
    OrderFill,
    ShadowFill,
    DailyMetrics,
    PortfolioSnapshot,
    TradeResult,
    ResultMetrics,
    TradeReconciliation,
    TradeReconciliationBreak,
]
SHOWN_ID = re.compile(r'class="row-id" href="[^"]+" title="([^"]+)"')


@pytest.fixture
def analyst(client_of: Callable[[str], Client]) -> Client:
    return client_of(ANALYST)


def address_of(model: type[Any], key: object = None) -> str:
    place = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
    return place if key is None else f"{place}{key}/change/"


def ids_on(client: Client, address: str) -> list[str]:
    answer = client.get(address)
    assert answer.status_code == 200
    return SHOWN_ID.findall(answer.content.decode())


@pytest.mark.parametrize("model", MODELS)
def test_each_table_has_a_list_and_a_page_that_shows_every_field(analyst: Client, model: Any) -> None:
    saved = row(model)
    saved.save()
    assert str(saved.pk) in ids_on(analyst, address_of(model))
    page = analyst.get(address_of(model, saved.pk)).content.decode()
    shown = set(re.findall(r'<div class="form-row field-(\w+)', page))
    assert {field.name for field in model._meta.fields} <= shown
    assert "<input" not in re.sub(r'<input type="hidden"[^>]*>|<input type="search"[^>]*>', "", page)


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_table_says_that_rows_will_come(analyst: Client, model: Any) -> None:
    page = analyst.get(address_of(model)).content.decode()
    assert f"No {model._meta.verbose_name_plural} yet." in page


@pytest.mark.parametrize("model", MODELS)
def test_nobody_may_write_not_even_a_superuser(client_of: Callable[[str], Client], model: Any) -> None:
    saved = row(model)
    saved.save()
    client = client_of(SUPERUSER)
    place = address_of(model)
    assert client.get(f"{place}add/").status_code == 403
    assert client.post(address_of(model, saved.pk), {"version": 9}).status_code == 403
    assert client.post(f"{place}{saved.pk}/delete/", {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": saved.pk, "post": "yes"}
    client.post(place, chosen)
    assert model.objects.get(pk=saved.pk).version == saved.version


@pytest.mark.parametrize("model", MODELS)
def test_a_list_reads_a_page_and_never_counts_or_lists_the_table(analyst: Client, model: Any) -> None:
    model.objects.bulk_create(row(model) for _ in range(120))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        analyst.get(address_of(model))
    on_table = [query["sql"] for query in queries if f'FROM "{model._meta.db_table}"' in query["sql"]]
    assert on_table
    assert all("LIMIT" in sql for sql in on_table), on_table
    assert not any("DISTINCT" in sql for sql in on_table)


def test_pages_end_at_the_bound_and_the_count_says_so(analyst: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_list, "ROWS_COUNTED_MAX", 100)
    PaperTrade.objects.bulk_create(row(PaperTrade) for _ in range(101))
    page = analyst.get(address_of(PaperTrade)).content.decode()
    assert "more than 100 paper trades" in " ".join(page.split())
    assert len(ids_on(analyst, address_of(PaperTrade) + "?p=2")) == 50
    assert analyst.get(address_of(PaperTrade) + "?p=3").status_code == 302  # no third page: back to the first
    PaperTrade.objects.all()[0].delete()
    assert "100 paper trades" in " ".join(analyst.get(address_of(PaperTrade)).content.decode().split())


def test_numbers_are_exact_on_a_page_and_short_in_a_list_with_the_exact_one_on_hover(analyst: Client) -> None:
    trade = row(PaperTrade, actual_profit_usd=Decimal("-92.554400000001"), entry_long_price=Decimal("42495.30"))
    trade.save()
    listed = analyst.get(address_of(PaperTrade)).content.decode()
    assert '<span class="number loss" title="-92.554400000001">-92.55</span>' in listed
    assert "2026-01-31 12:00:00.250001" in listed
    assert "Realised net (USD)" in listed
    page = analyst.get(address_of(PaperTrade, trade.pk)).content.decode()
    assert ">-92.554400000001</span>" in page
    assert ">42495.3</span>" in page
    assert "Realised net; null until closed. US dollars, the account currency." in page


def test_search_finds_a_row_by_whole_ids_only(analyst: Client) -> None:
    order = "strategy-1-long-entry"
    wanted = row(TradeResult, order_id=order, result_id=uuid.UUID(result_id_of(order)))
    TradeResult.objects.bulk_create([wanted, row(TradeResult), row(TradeResult)])

    def found(text: object) -> set[str]:
        return set(ids_on(analyst, f"{address_of(TradeResult)}?q={text}")) - {str(wanted.trade_id)}

    assert found(wanted.result_id) == {str(wanted.pk)}
    assert found(str(wanted.result_id).upper()) == {str(wanted.pk)}
    assert found(wanted.trade_id) == {str(wanted.pk)}
    assert found(order) == {str(wanted.pk)}
    assert found(str(wanted.result_id)[:8]) == set()
    assert found("' OR 1=1") == set()
    nothing = analyst.get(f"{address_of(TradeResult)}?q=nothing").content.decode()
    assert "No row has the id “nothing”." in nothing


def test_search_finds_a_day_by_its_key(analyst: Client) -> None:
    DailyMetrics.objects.bulk_create([row(DailyMetrics, id="strategy:2026-01-30"), row(DailyMetrics)])
    assert ids_on(analyst, f"{address_of(DailyMetrics)}?q=strategy:2026-01-30") == ["strategy:2026-01-30"]


def test_filters_narrow_a_list_to_what_they_say(analyst: Client) -> None:
    now = timezone.now()
    a = row(PaperTrade, entry_time=now - datetime.timedelta(minutes=5), status="Active", exit_reason=None)
    b = row(PaperTrade, entry_time=now - datetime.timedelta(hours=5), portfolio="taker", symbol="ETHUSDT")
    c = row(PaperTrade, entry_time=now - datetime.timedelta(days=20), long_exchange="okx", exit_reason="leg_out")
    PaperTrade.objects.bulk_create([a, b, c])
    names = {str(a.id): "a", str(b.id): "b", str(c.id): "c"}

    def found(query: str) -> str:
        return "".join(names[key] for key in ids_on(analyst, f"{address_of(PaperTrade)}?{query}"))

    assert found("") == "abc"  # the latest first
    assert found("period=hour") == "a"
    assert found("period=day") == "ab"
    assert found("period=month") == "abc"
    assert found("period=century") == ""
    assert found("status=Active") == "a"
    assert found("exit_reason=leg_out") == "c"
    assert found("portfolio=taker") == "b"
    assert found("symbol=ETHUSDT") == "b"
    assert found("venue=okx") == "c"
    assert found("venue=bybit") == "abc"  # each has its short leg there
    assert found("o=1") == "cba"
    assert found("o=2") == "abc"  # the symbol is not offered for sorting
    assert "No row matches these filters." in analyst.get(f"{address_of(PaperTrade)}?portfolio=no").content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_every_filter_of_every_list_works(analyst: Client, model: Any) -> None:
    for made in MODELS:
        row(made).save()
    page = analyst.get(address_of(model)).content.decode()
    offered = set(re.findall(r'<a href="(\?[^"]+)"', page))
    assert len(offered) > 4
    for query in offered:
        assert analyst.get(address_of(model) + query.replace("&amp;", "&")).status_code == 200


def test_a_list_sorts_by_its_indexed_column_only() -> None:
    for model in MODELS:
        registered = admin.site._registry[model]
        assert isinstance(registered, MirrorAdmin)
        (sortable,) = registered.get_sortable_by(HttpRequest())
        leading = {index.fields[0].lstrip("-") for index in model._meta.indexes if index.fields}
        assert getattr(sortable, "admin_order_field", None) in leading


def test_the_rows_of_one_trade_lead_to_each_other(analyst: Client) -> None:
    trade = row(PaperTrade)
    result = row(TradeResult, trade_id=trade.id)
    found = row(TradeReconciliationBreak, trade_id=trade.id, expected=Decimal(1), actual=Decimal(2), is_failure=True)
    rows = [trade, result, row(ResultMetrics, result_id=result.pk), row(LegOutEvent, trade_id=trade.id), found]
    rows += [row(FundingPayment, trade_id=trade.id), row(TradeReconciliation, trade_id=trade.id)]
    rows += [row(OrderFill, trade_id=trade.id), row(ShadowFill, trade_id=trade.id)]
    for saved in rows:
        saved.save()
    links = re.findall(r'<li><a href="([^"]+)">', analyst.get(address_of(PaperTrade, trade.pk)).content.decode())
    tables = [address.partition("?")[0] for address in links if address.startswith("/admin/")]
    linked = [
        TradeResult,
        TradeReconciliation,
        TradeReconciliationBreak,
        LegOutEvent,
        FundingPayment,
        OrderFill,
        ShadowFill,
    ]
    assert set(map(address_of, linked)) <= set(tables)
    assert f"/trades/{trade.id}/" in links
    for address in links:
        if "?q=" in address:
            assert len(ids_on(analyst, address)) >= 1, address
    for other in (result, found, rows[3], *rows[5:]):
        page = analyst.get(address_of(type(other), other.pk)).content.decode()
        assert f'href="{address_of(PaperTrade, trade.pk)}"' in page
    reconciled = analyst.get(address_of(TradeReconciliation, trade.pk)).content.decode()
    assert "adverse slippage</a>, binance: expected 1, was 2." in reconciled
    assert (
        f'href="{address_of(TradeResult, result.pk)}"'
        in analyst.get(address_of(ResultMetrics, result.pk)).content.decode()
    )


def test_the_text_of_another_program_is_shown_as_text(analyst: Client) -> None:
    row(PaperTrade, symbol="<script>alert(1)</script>", status="<b>odd</b>", entry_time=NOON).save()
    page = analyst.get(address_of(PaperTrade)).content.decode()
    assert "<script>alert(1)" not in page and "<b>odd" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_known_values_are_found_in_steps_and_stop_at_the_limit() -> None:
    names = [f"portfolio-{n:02d}" for n in range(7)]
    PaperTrade.objects.bulk_create(row(PaperTrade, portfolio=name) for name in names * 2)
    with CaptureQueriesContext(connection) as queries:
        assert known_values(PaperTrade, "portfolio") == names
    assert len(queries) == len(names) + 1
    assert known_values(PaperTrade, "portfolio", limit=3) == names[:3]
    PaperTrade.objects.bulk_create([row(PaperTrade, exit_reason=None), row(PaperTrade, exit_reason="manual")])
    assert known_values(PaperTrade, "exit_reason") == ["manual", "profit_target"]


def test_lists_say_codes_in_words_and_align_counts(analyst: Client) -> None:
    row(PaperTrade, exit_reason="loss_limit").save()
    row(TradeReconciliationBreak).save()
    row(TradeReconciliation, break_count=3).save()
    row(Review, resolution="accept", reason="known_venue_delay", outcome="").save()
    trades, breaks, reconciliations, proposals = (
        analyst.get(address_of(model)).content.decode()
        for model in (PaperTrade, TradeReconciliationBreak, TradeReconciliation, Review)
    )
    assert '<td class="field-exit_reason">loss limit</td>' in trades
    assert '<td class="field-kind">adverse slippage</td>' in breaks
    assert '<td class="field-break_count"><span class="number">3</span></td>' in reconciliations
    assert '<td class="field-reason">known venue delay</td>' in proposals
    assert '<td class="field-outcome">undecided</td>' in proposals


def test_a_proposal_leads_to_its_case(analyst: Client) -> None:
    made = row(Review, resolution="accept", reason="thin_book", outcome="")
    made.save()
    page = analyst.get(address_of(Review, made.pk)).content.decode()
    assert f'<a href="/admin/results/reviewcase/{made.trade_id}/change/">Case</a>' in page


def test_lists_of_settings_and_users_are_named_by_what_they_list(client_of: Callable[[str], Client]) -> None:
    client = client_of(SUPERUSER)
    for model, title in ((ReconciliationTolerance, "Reconciliation tolerances"), (Venue, "Venues")):
        assert f"<h1>{title}</h1>" in client.get(address_of(model)).content.decode()
    User.objects.update(last_login=NOON)
    users = client.get(address_of(User)).content.decode()
    assert "Last login (UTC)" in users
    assert "2026-01-31 12:00:00<" in users


def test_the_meaning_of_a_column_is_said_once(analyst: Client) -> None:
    made = row(TradeResult)
    made.save()
    page = analyst.get(address_of(TradeResult, made.pk)).content.decode()
    assert page.count("Execution minus requested price") == 1
    assert "Execution minus requested price; negative is favourable for a buy." in page
