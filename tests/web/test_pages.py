"""The pages without a browser: who may see them, what stands in them, and what they do without Redis."""

import datetime
import re
import time
import uuid
from collections.abc import Callable
from decimal import Decimal

import orjson
import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from paperdesk.environment import BASE_DIR
from results.models import ResultMetrics, TradeReconciliation, TradeReconciliationBreak, TradeResult
from tests.web import snapshots
from tests.web.conftest import ANONYMOUS
from tests.web.rows import row
from trading import glossary, views, wiring
from trading.models import FundingPayment, LegOutEvent, PaperTrade
from trading.stores import keys
from trading.stores.errors import RedisAway
from trading.stores.wire.documents import DailyDocument, MetricsDocument
from trading.templatetags import figures

pytestmark = pytest.mark.django_db

ClientOf = Callable[[str], Client]
TRADE_ID = uuid.UUID(snapshots.TRADE_ID)
TRADE_PAGE = f"/trades/{TRADE_ID}/"
DOCUMENT = BASE_DIR / "tests/vectors/documents/trade_active.json"
OURS = {"timestamp_us", "undefined", "recent_exits", "sortino_ratio"}  # not figures of the documents


def plain(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.mark.parametrize("address", ["/", TRADE_PAGE])
def test_pages_ask_for_a_login_and_come_back_to_the_page(client_of: ClientOf, address: str) -> None:
    answer = client_of(ANONYMOUS).get(address)
    assert answer.status_code == 302
    assert answer["Location"] == f"/login/?next={address}"


def test_whoever_sees_cases_finds_the_queue_from_the_desk(client_of: ClientOf) -> None:
    link = '<a href="/admin/results/reviewcase/">Review</a>'
    assert link in client_of("analyst").get("/").content.decode()
    newcomer = client_of(ANONYMOUS)
    newcomer.force_login(User.objects.create_user("newcomer", is_staff=True))
    assert link not in newcomer.get("/").content.decode()


def test_every_documented_metric_stands_on_the_desk_with_an_explanation(client_of: ClientOf) -> None:
    page = client_of("analyst").get("/").content.decode()
    for part, document in (("metrics", MetricsDocument), ("daily", DailyDocument)):
        for name in set(document.__struct_fields__) - OURS:
            assert f'data-field="{part}.{name}"' in page, name
    assert 'data-list="exits"' in page
    for terms in glossary.BY_NAME.values():
        for term in terms.values():
            assert term.meaning.endswith("."), term
            assert term.undefined.endswith("."), term


def test_no_page_has_inline_scripts_or_styles(client_of: ClientOf) -> None:
    row(PaperTrade, id=TRADE_ID).save()
    client = client_of("analyst")
    for address in ("/", TRADE_PAGE, f"/trades/{uuid.uuid4()}/", "/nothing/here"):
        page = client.get(address).content.decode()
        assert not re.search(r"\sstyle=|<style|\son\w+=|<script(?![^>]*\ssrc=)", page), address


def test_unknown_trade_is_a_friendly_404_that_names_the_id(client_of: ClientOf, redis_client: redis.Redis) -> None:
    answer = client_of("analyst").get(TRADE_PAGE)
    assert answer.status_code == 404
    assert f"No trade has the id {TRADE_ID}" in plain(answer.content.decode())


def test_address_without_a_page_is_a_404_in_the_desks_style(client_of: ClientOf) -> None:
    answer = client_of("analyst").get("/nothing/here")
    assert answer.status_code == 404
    assert "There is no page at this address." in plain(answer.content.decode())


def test_closed_trade_shows_terms_results_funding_leg_out_and_breaks(
    client_of: ClientOf, redis_client: redis.Redis
) -> None:
    start = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    row(
        PaperTrade, id=TRADE_ID, entry_time=start, exit_time=start + datetime.timedelta(seconds=754),
        price_pnl_long_usd=Decimal("0.7984"), price_pnl_short_usd=Decimal("-0.1376"), fees_usd=Decimal("0.79128"),
        actual_profit_usd=Decimal("0.226620000001"), legged_out=True, exit_long_price=Decimal(100),
        exit_short_price=Decimal(101),
    ).save()  # fmt: skip
    result = row(TradeResult, trade_id=TRADE_ID, requested_price=Decimal("61869.9"), state="partially_filled")
    result.save()
    row(ResultMetrics, result_id=result.pk, queue_wait_ms=1180).save()
    row(FundingPayment, trade_id=TRADE_ID, rate=Decimal("0.0001"), cash_usd=Decimal("-0.0831")).save()
    row(LegOutEvent, trade_id=TRADE_ID, hedge_loss=Decimal("0.19152"), hedge_executed=True).save()
    row(
        TradeReconciliation, trade_id=TRADE_ID, reconciliation_status="failed", rejection_reason="Slippage too high"
    ).save()
    row(TradeReconciliationBreak, trade_id=TRADE_ID, kind="adverse_slippage", is_failure=True).save()
    answer = client_of("analyst").get(TRADE_PAGE)
    html = answer.content.decode()
    page = plain(html)
    assert answer.status_code == 200
    for shown in ("+0.7984", "−0.1376", "0.7913", "+0.2266", "12 min 34 s", "+99.50", "61,869.9", "partially filled",
                  "1180", "+0.0100", "−0.0831", "0.1915", "Slippage too high", "adverse slippage"):  # fmt: skip
        assert shown in page, shown
    assert 'title="0.226620000001"' in html, "the exact profit is not on hover"
    assert f"/admin/trading/papertrade/{TRADE_ID}/change/" in html


def test_open_trade_comes_from_redis_before_any_table_knows_it(client_of: ClientOf, redis_client: redis.Redis) -> None:
    redis_client.set(keys.PortfolioKeys("strategy").active_trade(str(TRADE_ID)), DOCUMENT.read_bytes())
    answer = client_of("analyst").get(TRADE_PAGE)
    page = plain(answer.content.decode())
    assert answer.status_code == 200
    for shown in ("Active", "foreign", "42,500.5", "42,495.3", "2.5 / 15", "3.2 / 18", "+61.0000", "No results yet."):
        assert shown in page, shown
    assert "data-trade" in answer.content.decode()


def test_trade_of_another_portfolio_is_found(client_of: ClientOf, redis_client: redis.Redis) -> None:
    redis_client.hset(keys.PORTFOLIOS, "complete", "{}")
    redis_client.set(keys.PortfolioKeys("complete").closed_trade(str(TRADE_ID)), DOCUMENT.read_bytes())
    answer = client_of("analyst").get(TRADE_PAGE)
    assert answer.status_code == 200
    assert "complete" in plain(answer.content.decode())


@pytest.mark.parametrize(("version", "shown"), [(1, "Closed"), (0, "Active")])
def test_the_newer_of_redis_and_table_is_shown(
    client_of: ClientOf, redis_client: redis.Redis, version: int, shown: str
) -> None:
    record = orjson.loads(DOCUMENT.read_bytes()) | {"version": 1}
    redis_client.set(keys.PortfolioKeys("strategy").active_trade(str(TRADE_ID)), orjson.dumps(record))
    row(PaperTrade, id=TRADE_ID, version=version, status="Closed").save()
    page = client_of("analyst").get(TRADE_PAGE).content.decode()
    assert f'<span class="pill" data-is="{shown}">{shown}</span>' in page


def test_record_that_cannot_be_read_is_told_and_not_called_missing(
    client_of: ClientOf, redis_client: redis.Redis
) -> None:
    redis_client.set(keys.PortfolioKeys("strategy").active_trade(str(TRADE_ID)), b'{"id": 7}')
    answer = client_of("analyst").get(TRADE_PAGE)
    assert answer.status_code == 503
    assert "The trade's record in Redis cannot be read" in plain(answer.content.decode()).replace("&#x27;", "'")


def test_without_redis_a_known_trade_is_shown_and_an_unknown_one_is_not_denied(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> redis.Redis:
        raise RedisAway("No Redis answers")

    monkeypatch.setattr(wiring, "page_redis_client", away)
    row(PaperTrade, id=TRADE_ID).save()
    client = client_of("analyst")
    known, unknown = client.get(TRADE_PAGE), client.get(f"/trades/{uuid.uuid4()}/")
    assert (known.status_code, unknown.status_code) == (200, 503)
    for answer in (known, unknown):
        assert "Redis does not answer" in plain(answer.content.decode())


def test_frozen_redis_holds_a_page_up_for_two_seconds_at_most(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID).save()
    request = RequestFactory().get(TRADE_PAGE)
    client_of("analyst")
    request.user = User.objects.get(username="analyst")
    redis_client.client_pause(3_500)
    started = time.monotonic()
    answer = views.trade(request, TRADE_ID)
    assert 1.5 < time.monotonic() - started < 3
    assert "Redis does not answer" in answer.content.decode()


def test_texts_of_other_programs_are_escaped(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID, symbol="<script>alert(1)</script>", exit_reason="<b>x</b>").save()
    page = client_of("analyst").get(TRADE_PAGE).content.decode()
    assert "<script>alert" not in page
    assert "<b>x" not in page


def test_logout_is_a_post_and_ends_at_the_login(client_of: ClientOf) -> None:
    client = client_of("analyst")
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert client.get("/").status_code == 302


def test_wrong_password_is_told_without_saying_which_half_was_wrong(client_of: ClientOf) -> None:
    client_of("analyst")
    answer = Client().post("/login/", {"username": "analyst", "password": "wrong"})
    assert answer.status_code == 200
    assert "Please enter a correct username and password" in plain(answer.content.decode())


def test_expired_form_is_told_in_the_desks_style() -> None:
    answer = Client(enforce_csrf_checks=True).post("/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "This form has expired" in plain(answer.content.decode())


@pytest.mark.parametrize(
    ("form", "value", "shown"),
    [
        (figures.usd, Decimal("-1234.565"), "−1,234.56"),  # half-even
        (figures.usd_signed, Decimal("0.00004"), "0.0000"),
        (figures.usd_signed, Decimal("1.5"), "+1.5000"),
        (figures.usd_cost, Decimal("-0.25"), "−0.2500"),
        (figures.bps, Decimal("12.205"), "+12.20"),
        (figures.rate, Decimal("-0.000123"), "−0.0123"),
        (figures.digits, Decimal("0.000000000001"), "0.000000000001"),
        (figures.digits, Decimal("5E+3"), "5,000"),
    ],
)
def test_figures_are_rounded_for_the_eye_only(form: Callable[[Decimal], str], value: Decimal, shown: str) -> None:
    html = form(value)
    assert plain(html).strip() == shown
    assert f'title="{figures.exact(value)}"' in html


def test_cost_wears_the_colour_of_a_loss_and_a_rebate_that_of_a_gain() -> None:
    assert 'class="loss"' in figures.usd_cost(Decimal("0.2"))
    assert 'class="gain"' in figures.usd_cost(Decimal("-0.2"))


@pytest.mark.parametrize("form", [figures.usd, figures.usd_signed, figures.bps, figures.digits, figures.instant])
def test_no_value_is_a_dash(form: Callable[[None], str]) -> None:
    assert plain(form(None)).strip() == "–"


def test_static_files_are_no_streams_and_have_their_type_and_age(client: Client) -> None:
    first = client.get("/static/css/base.css")
    assert (first.status_code, first.streaming, first["Content-Type"]) == (200, False, 'text/css; charset="utf-8"')
    assert first.content == (BASE_DIR / "static" / "css" / "base.css").read_bytes()
    assert "max-age" in first["Cache-Control"]
    again = client.get("/static/css/base.css", headers={"If-Modified-Since": first["Last-Modified"]})
    assert (again.status_code, again.content, "Content-Type" in again) == (304, b"", False)
    part = client.get("/static/css/base.css", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, first.content[2:5])
    assert client.head("/static/css/base.css").content == b""
    assert client.post("/static/css/base.css").status_code == 405
