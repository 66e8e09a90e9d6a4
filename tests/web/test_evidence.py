"""The trade's page and the API explain fills, and tell what other queue thresholds would have made of them."""

import datetime
import html
import re
import uuid
from collections.abc import Callable
from decimal import Decimal

import pytest
import redis
from django.test import Client

from paperdesk.roles import ANALYST
from tests.web.rows import NOON, row
from trading.domain.evidence import CountedPrint, QueueEvidence, WalkEvidence, encode_evidence
from trading.models import FundingPayment, OrderFill, PaperTrade, ShadowFill

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ClientOf = Callable[[str], Client]
TRADE_ID = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")
D = Decimal
NOON_US = 1_769_860_800_250_001  # NOON


def later(milliseconds: float) -> datetime.datetime:
    return NOON + datetime.timedelta(milliseconds=milliseconds)


def page_of(client_of: ClientOf) -> str:
    answer = client_of(ANALYST).get(f"/trades/{TRADE_ID}/")
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def queue_evidence(**changes: object) -> QueueEvidence:
    prints = tuple(CountedPrint(70 + n, NOON_US + n, D("49990"), D("0.5"), D("0.5")) for n in range(8))
    last = (CountedPrint(999, NOON_US + 9, D("49990"), D("0.75"), D("0.7")),)
    values: dict[str, object] = {
        "filled_by": "threshold", "depth": D(15), "threshold_fraction": D("0.2"), "threshold": D(3),
        "volume": D("3.1"), "accepted_us": NOON_US - 20_000, "book_us": NOON_US - 21_000, "book_state": "ok",
        "prints_count": 300, "prints_quantity": D("3.1"), "first_prints": prints, "last_prints": last,
    }  # fmt: skip
    return QueueEvidence(**{**values, **changes})  # type: ignore[arg-type]


def test_each_fill_is_explained_with_its_prints_or_levels(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID).save()
    times = {"sent_at": later(-30), "accepted_at": later(-20), "filled_at": NOON}
    row(
        OrderFill, trade_id=TRADE_ID, quantity=D("0.019"), order_quantity=D("0.019"),
        evidence=encode_evidence(queue_evidence()), **times,
    ).save()  # fmt: skip
    walk = WalkEvidence(((D("49980"), D("0.004")), (D("49979"), D("0.002"))), 2, D("0.006"), D(1), None, NOON_US, "ok")
    row(
        OrderFill, trade_id=TRADE_ID, leg="short", role="hedge", direction="sell", liquidity="taker",
        quantity=D("0.006"), order_quantity=D("0.019"), evidence=encode_evidence(walk),
        **(times | {"filled_at": later(1)}),
    ).save()  # fmt: skip
    page = page_of(client_of)
    for shown in (
        "Filled at 12:00:00.250: 3.1 of the 15 ahead (20% = 3) had traded.",
        "Filled 0.006 of 0.019 at 12:00:00.251: it took 0.006 from 2 levels of the bids, 49,980 to 49,979",
        "12:00:00.230 , 10 ms later",  # sent to accepted
        "12:00:00.250 , 20 ms later",  # accepted to filled
        "Prints that counted 300, 3.1 in all",
        "291 more, in the sum only",  # 300 - 8 - 1
        "999 49,990 0.75 0.7 filled it",
        "Levels taken 2",
        "none, at market",
    ):
        assert shown in page, shown
    assert page.count("filled it") == 1


def test_evidence_of_another_version_is_no_error(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID).save()
    row(OrderFill, trade_id=TRADE_ID, evidence='{"kind":"vision"}').save()
    assert "no evidence was kept" in page_of(client_of)


def shadows(trade_id: uuid.UUID, leg: str, *waits_ms: float | None) -> None:
    names = ("filled_20_at", "filled_50_at", "filled_100_at", "filled_through_at")
    filled = {name: None if wait is None else later(wait) for name, wait in zip(names, waits_ms, strict=True)}
    row(ShadowFill, trade_id=trade_id, leg=leg, leg_out_ms=500, watched_until=later(30_000), **filled).save()


def test_shadow_fills_and_the_portfolios_sensitivity_are_shown(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID, actual_profit_usd=D("0.5")).save()
    shadows(TRADE_ID, "long", 20, 1234.567, None, None)
    shadows(TRADE_ID, "short", 500, 900, 40, None)
    page = page_of(client_of)
    for shown in (
        "20% 20 ms 500 ms",
        "50% 1,234.567 ms 900 ms",
        "100% not filled 40 ms",
        "trade-through not filled not filled",
        "(30.000 s)",
        "latest 2 resting entries",
        "20% 100.0 1 0 0 +0.5000",  # both within 500 ms of acceptance, 480 ms apart: hedged, at the mean net of 0.5
        "50% 0.0 1 0 0 +0.5000",  # 335 ms apart
        "100% 50.0 0 1 0 –",  # one leg only, and no leg-out has happened to estimate it by
        "trade-through 0.0 0 0 1 0.0000",
        "1 trade of which both legs rested; 1 of them closed with a fill and really made +0.5000 USD",
    ):
        assert shown in page, shown


def test_unfilled_trades_are_no_measure_of_hedged_ones(client_of: ClientOf) -> None:
    row(PaperTrade, id=TRADE_ID, actual_profit_usd=D(0), exit_reason="entry_timeout").save()
    shadows(TRADE_ID, "long", 20, None, None, None)
    shadows(TRADE_ID, "short", 30, None, None, None)
    found = client_of(ANALYST).get("/api/v1/portfolios/strategy/sensitivity/").json()
    assert (found["trades"], found["trades_closed"], found["net_usd"]) == (1, 0, "0")
    assert found["thresholds"][0] == {
        "name": "20%", "in_time_fraction": "1", "filled_fraction": "1", "hedged": 1, "legged_out": 0, "unfilled": 0,
        "net_usd": None,
    }  # fmt: skip


def test_a_portfolio_without_resting_orders_has_no_sensitivity(client_of: ClientOf) -> None:
    answer = client_of(ANALYST).get("/api/v1/portfolios/nobody/sensitivity/")
    assert answer.status_code == 404
    assert "'nobody'" in answer.json()["detail"]


def test_the_funding_ledger_shows_what_was_held_and_adds_up(client_of: ClientOf, redis_client: redis.Redis) -> None:
    row(PaperTrade, id=TRADE_ID).save()
    row(FundingPayment, trade_id=TRADE_ID, leg="long", quantity=D("0.016"), cash_usd=D("-0.0989")).save()
    row(FundingPayment, trade_id=TRADE_ID, leg="short", quantity=D("-0.016"), cash_usd=D("0.1483")).save()
    page = page_of(client_of)
    for shown in ("long 0.016", "short −0.016", "Sum +0.0494"):  # 0.1483 - 0.0989
        assert shown in page, shown
