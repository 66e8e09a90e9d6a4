"""The audit trail in the admin: read by whoever sees the tables, changed by nobody, filtered and searched exactly."""

from __future__ import annotations

import datetime
import html
import re
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis import Redis

from paperdesk.roles import ADMINISTRATOR, ANALYST
from results.audit.trail import Deed, audit_add
from results.domain.units import us_of_datetime
from results.pipeline.verify.verified import VerifiedState
from results.review_models import AuditEntry
from tests.web.conftest import SUPERUSER
from trading.stores import keys

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ClientOf = Callable[[str], Client]
PLACE = "/admin/results/auditentry/"
TRADE = uuid.UUID("550e8400-e29b-41d4-a716-446655440000")


def noted(who: str, action: str, subject: str, age: datetime.timedelta = datetime.timedelta(0)) -> None:
    with transaction.atomic():
        deed = Deed(action, subject, {"state": "open"}, {"state": "proposed", "word": "<b>"})
        audit_add([deed], us_of_datetime(timezone.now() - age), who)


@pytest.fixture
def trail(db: None) -> None:
    noted("mara", "proposed", f"review_case {TRADE}", datetime.timedelta(days=3))
    noted("carl", "approved", f"review_case {TRADE}", datetime.timedelta(hours=2))
    noted("mara", "tolerance changed", "reconciliation_tolerance *:*", datetime.timedelta(minutes=1))


def numbers(client: Client, query: str = "") -> list[int]:
    answer = client.get(PLACE + query)
    assert answer.status_code == 200
    return [row.number for row in answer.context["cl"].result_list]


def words_of(answer: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def test_entries_are_listed_the_latest_first_and_shown_whole(client_of: ClientOf, trail: None) -> None:
    client = client_of(ANALYST)
    assert numbers(client) == [3, 2, 1]
    page = client.get(f"{PLACE}1/change/").content.decode()
    assert f"review_case {TRADE}" in page and "&lt;b&gt;" in page and "<b>" not in page
    for field in ("who", "action", "before_in_lines", "after_in_lines", "chain"):
        assert f"field-{field}" in page


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?who=mara", [3, 1]),
        ("?action=approved", [2]),
        ("?period=hour", [3]),
        ("?period=day", [3, 2]),
        ("?period=week&who=mara", [3, 1]),
        ("?period=never", []),
        (f"?q=review_case {TRADE}", [2, 1]),
        (f"?q={TRADE}", [2, 1]),
        ("?q=review_case", []),
        ("?q=reconciliation_tolerance *:*", [3]),
    ],
)
def test_filters_and_search_are_exact(client_of: ClientOf, trail: None, query: str, expected: list[int]) -> None:
    assert numbers(client_of(ANALYST), query) == expected


def test_nobody_may_write_not_even_a_superuser(client_of: ClientOf, trail: None) -> None:
    for role in (ADMINISTRATOR, SUPERUSER):
        client = client_of(role)
        assert client.get(f"{PLACE}add/").status_code == 403
        assert client.post(f"{PLACE}1/change/", {"who": "eve"}).status_code == 403
        assert client.post(f"{PLACE}1/delete/", {"post": "yes"}).status_code == 403
        client.post(PLACE, {"action": "delete_selected", "_selected_action": 1, "post": "yes"})
    assert list(AuditEntry.objects.order_by("number").values_list("who", flat=True)) == ["mara", "carl", "mara"]


def test_the_list_reads_a_page_and_never_counts_the_trail(client_of: ClientOf, trail: None) -> None:
    client = client_of(ANALYST)
    for query in ("", "?who=mara", "?period=day", "?action=approved"):
        with CaptureQueriesContext(connection) as queries:
            client.get(PLACE + query)
        read = [query["sql"] for query in queries if 'FROM "audit_entry"' in query["sql"]]
        assert read and all("LIMIT" in sql for sql in read), read


def test_the_list_says_when_the_trail_was_verified_and_what_was_found(
    client_of: ClientOf, trail: None, redis_client: Redis
) -> None:
    client = client_of(ANALYST)
    assert "has not been verified yet" in words_of(client.get(PLACE))
    state = VerifiedState("agree", 0, 1_763_000_000_000_000, rows=1_234)
    redis_client.hset(keys.SYNC, "trail", msgspec.json.encode(state))
    told = words_of(client.get(PLACE))
    assert "The trail was verified at 2025-11-13 02:13:20 UTC and is whole: 1,234 entries." in told
    redis_client.hset(keys.SYNC, "trail", msgspec.json.encode(msgspec.structs.replace(state, rows=1)))
    assert "and is whole: 1 entry." in words_of(client.get(PLACE))
    broken = msgspec.structs.replace(state, error="entry 7 is missing, 8 follows")
    redis_client.hset(keys.SYNC, "trail", msgspec.json.encode(broken))
    told = words_of(client.get(PLACE))
    assert "The trail is broken, found at 2025-11-13 02:13:20 UTC: entry 7 is missing, 8 follows" in told
    redis_client.flushall()
