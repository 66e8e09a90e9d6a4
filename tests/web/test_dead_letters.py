"""Dead letters in the admin and the API: staff have them tried again, analysts read."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from paperdesk.roles import ADMINISTRATOR, ANALYST, STAFF
from results.models import DeadLetter, DeadLetterState
from tests.web.conftest import ANONYMOUS, SUPERUSER

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]
ClientOf = Callable[[str], Client]
PLACE = "/admin/results/deadletter/"


def letter(number: int = 1, **changes: Any) -> DeadLetter:
    made = {
        "id": f"174263856000{number}-0",
        "kind": "hash",
        "key": f"result:{number}",
        "table": "trade_result",
        "reason": "field pnl is 'much', not a decimal",
        "content": '{"pnl":"much","symbol":"<b>EURUSD</b>"}',
        "found_at": timezone.now() - timezone.timedelta(hours=3),
    }
    return DeadLetter.objects.create(**{**made, **changes})


def retried(client: Client, *letters: DeadLetter) -> str:
    data = {"action": "retry", "_selected_action": [each.id for each in letters]}
    return client.post(PLACE, data, follow=True).content.decode()


def test_the_list_shows_what_why_and_since_when(client_of: ClientOf) -> None:
    letter()
    page = client_of(ANALYST).get(PLACE).content.decode()
    for text in ("result:1", "field pnl is", "3 h", "trade_result", "open"):
        assert text in page


def test_the_page_of_a_letter_has_the_content_as_it_was(client_of: ClientOf) -> None:
    page = client_of(ANALYST).get(f"{PLACE}{letter().pk}/change/").content.decode()
    assert "&quot;pnl&quot;: &quot;much&quot;" in page
    assert "&lt;b&gt;EURUSD" in page
    assert "<b>EURUSD" not in page


def test_letters_are_found_by_key_and_filtered_by_state(client_of: ClientOf) -> None:
    letter(1)
    letter(2, state=DeadLetterState.DONE, outcome="accepted as version 1 of trade_result")
    client = client_of(ANALYST)
    assert "result:2" not in client.get(f"{PLACE}?q=result:1").content.decode()
    assert "result:1" not in client.get(f"{PLACE}?state=done").content.decode().replace("?q=result:1", "")


@pytest.mark.parametrize("role", [STAFF, ADMINISTRATOR, SUPERUSER])
def test_staff_have_one_or_many_tried_again(role: str, client_of: ClientOf) -> None:
    letters = [letter(1), letter(2), letter(3, state=DeadLetterState.DONE)]
    page = retried(client_of(role), *letters)
    assert "2 dead letters are tried again at the next sync" in page
    assert "1 were done or asked for already" in page
    states = dict(DeadLetter.objects.values_list("key", "state"))
    assert states == {"result:1": "asked", "result:2": "asked", "result:3": "done"}
    assert DeadLetter.objects.get(key="result:1").asked_by == role


def test_staff_have_one_tried_again_from_its_page(client_of: ClientOf) -> None:
    found, client = letter(), client_of(STAFF)
    page = client.get(f"{PLACE}{found.pk}/change/").content.decode()
    for part in ('<input type="hidden" name="action" value="retry">', f'name="_selected_action" value="{found.pk}"'):
        assert part in page
    retried(client, found)
    assert "Try again" not in client.get(f"{PLACE}{found.pk}/change/").content.decode()


def test_an_analyst_reads_only(client_of: ClientOf) -> None:
    found, client = letter(), client_of(ANALYST)
    for place in (PLACE, f"{PLACE}{found.pk}/change/"):
        assert 'value="retry"' not in client.get(place).content.decode()
    retried(client, found)
    assert client.post(f"{PLACE}{found.pk}/change/", {"state": "done"}).status_code == 403
    assert client.get(f"{PLACE}add/").status_code == 403
    assert DeadLetter.objects.get().state == DeadLetterState.OPEN


def test_the_api_lists_them_and_changes_none(client_of: ClientOf) -> None:
    found = letter()
    client = client_of(STAFF)
    answer = client.get("/api/v1/dead-letters/", {"state": "open", "kind": "hash"}).json()
    assert [(each["key"], each["reason"], each["tries"]) for each in answer["results"]] == [
        ("result:1", "field pnl is 'much', not a decimal", 0)
    ]
    assert client.get("/api/v1/dead-letters/", {"state": "lost"}).status_code == 400
    assert client.get(f"/api/v1/dead-letters/{found.pk}/").json()["content"] == found.content
    assert client.post("/api/v1/dead-letters/", {}).status_code == 405
    assert client_of(ANONYMOUS).get("/api/v1/dead-letters/").status_code == 401
