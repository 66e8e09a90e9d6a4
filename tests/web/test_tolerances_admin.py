"""Tolerances in the admin: who may change them, errors beside their field, history, what counts where."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from paperdesk.models import OutboxRow
from paperdesk.roles import ADMINISTRATOR, ANALYST, APPROVER, STAFF
from results.audit.trail import audit_broken
from results.reconcile.tolerances import shipped, tolerance_save, tolerances_seed
from results.review_models import AuditEntry, ReconciliationTolerance
from tests.web.conftest import ANONYMOUS, SUPERUSER
from trading.settings_service import settings_seed

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ClientOf = Callable[[str], Client]
PLACE = "/admin/results/reconciliationtolerance/"
NOW_US = 1_763_000_000_000_000
FORM = {
    "venue": "binance", "symbol": "BTCUSDT", "enabled": "on", "slippage_bps": "2.5", "quantity": "0",
    "residual_usd": "0.01", "execution_ms": "1000", "broker_ms": "500", "network_ms": "500", "missing_results": "0",
    "duplicate_results": "0",
}  # fmt: skip


@pytest.fixture(autouse=True)
def seeded(db: None) -> None:
    settings_seed("synthetic", NOW_US)
    tolerances_seed(NOW_US)


@pytest.fixture
def keeper(client_of: ClientOf) -> Client:
    return client_of(ADMINISTRATOR)


def kept(**figures: Any) -> None:
    row = shipped()
    for name, value in figures.items():
        setattr(row, name, value)
    tolerance_save(row, NOW_US, "mara")


def page_of(key: str) -> str:
    return f"{PLACE}{key.replace(':', '_3A')}/change/"


def errors_of(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return {name: list(sentences) for name, sentences in found.items()}


def words_of(answer: Any) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


@pytest.mark.parametrize(
    ("role", "list_", "page", "add", "delete"),
    [
        (ANONYMOUS, 302, 302, 302, 302),
        (ANALYST, 200, 200, 403, 403),
        (STAFF, 200, 200, 403, 403),
        (APPROVER, 200, 200, 403, 403),
        (ADMINISTRATOR, 200, 200, 200, 403),
        (SUPERUSER, 200, 200, 200, 403),
    ],
)
def test_each_role_may_open_what_is_its_own(
    client_of: ClientOf, role: str, list_: int, page: int, add: int, delete: int
) -> None:
    addresses = [PLACE, page_of("*:*"), f"{PLACE}add/", f"{PLACE}*_3A*/delete/"]
    assert [client_of(role).get(address).status_code for address in addresses] == [list_, page, add, delete]


def test_a_text_that_no_row_can_have_is_refused_by_the_list(keeper: Client) -> None:
    place = "/admin/results/reconciliationtolerance/"
    for query in ("q=x%00", "enabled__exact=%00"):
        answer = keeper.get(f"{place}?{query}")
        assert (answer.status_code, answer["Location"]) == (302, f"{place}?e=1")
        assert keeper.post(f"{place}export/?{query}", {"format": "csv"})["Location"] == f"{place}?e=1"


@pytest.mark.parametrize("role", [ANONYMOUS, ANALYST, STAFF, APPROVER])
def test_only_administrators_add_and_change_tolerances(client_of: ClientOf, role: str) -> None:
    before = AuditEntry.objects.count()
    for address in (f"{PLACE}add/", page_of("*:*")):
        assert client_of(role).post(address, FORM).status_code in (302, 403)
    assert (ReconciliationTolerance.objects.count(), AuditEntry.objects.count()) == (1, before)


def test_a_new_tolerance_is_saved_with_author_outbox_and_audit_entry(keeper: Client) -> None:
    answer = keeper.post(f"{PLACE}add/", FORM, follow=True)
    assert "It counts for what is reconciled from now on. Trades of before: reconcile again ." in words_of(answer)
    row = ReconciliationTolerance.objects.get(pk="binance:BTCUSDT")
    assert (row.slippage_bps, row.residual_usd, row.changed_by) == (Decimal("2.5"), Decimal("0.01"), ADMINISTRATOR)
    assert OutboxRow.objects.filter(table="reconciliation_tolerance", key=row.pk, version=row.version).exists()
    entry = AuditEntry.objects.latest("number")
    assert (entry.who, entry.action) == (ADMINISTRATOR, "tolerance changed")
    assert entry.subject == "reconciliation_tolerance binance:BTCUSDT"
    assert audit_broken() is None


def test_a_change_is_in_the_history_with_who_when_before_and_after(keeper: Client) -> None:
    answer = keeper.post(page_of("*:*"), {**FORM, "slippage_bps": "3"}, follow=True)
    assert answer.status_code == 200
    assert ReconciliationTolerance.objects.get().slippage_bps == 3
    history = keeper.get(f"{PLACE}*_3A*/history/")
    assert re.search(r"Slippage bps: 1(\.0+)? → 3", words_of(history)), words_of(history)
    assert ADMINISTRATOR in words_of(history)
    entry = AuditEntry.objects.latest("number")
    assert '"slippage_bps":"1"' in (entry.before or "") and '"slippage_bps":"3"' in (entry.after or "")


def test_saving_what_stands_changes_nothing(keeper: Client) -> None:
    usual = {name: str(getattr(ReconciliationTolerance.objects.get(), name)) for name in FORM if name != "enabled"}
    before = AuditEntry.objects.count()
    answer = keeper.post(page_of("*:*"), {**usual, "enabled": "on"}, follow=True)
    assert "reconcile again" not in words_of(answer).split("Which tolerance")[0].lower().replace(
        "reconcile again", "", 1
    )
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"slippage_bps": "-0.1"}, "slippage_bps", "greater than or equal to 0"),
        ({"slippage_bps": "NaN"}, "slippage_bps", "Enter a number."),
        ({"slippage_bps": "Infinity"}, "slippage_bps", "Enter a number."),
        ({"slippage_bps": ""}, "slippage_bps", "This field is required."),
        ({"quantity": "0.0000000000001"}, "quantity", "12 decimal places"),
        ({"residual_usd": "1" * 27}, "residual_usd", "26 digits before the decimal point"),
        ({"execution_ms": "-1"}, "execution_ms", "greater than or equal to 0"),
        ({"broker_ms": "1.5"}, "broker_ms", "Enter a whole number."),
        ({"network_ms": "9" * 20}, "network_ms", "less than or equal to"),
        ({"missing_results": "few"}, "missing_results", "Enter a whole number."),
        ({"venue": ""}, "venue", "This field is required."),
        ({"venue": "x" * 65}, "venue", "at most 64 characters"),
        ({"symbol": "BTC:USDT"}, "symbol", "symbol 'BTC:USDT': 1 to 64 characters without a colon"),
        ({"venue": "*", "symbol": "*"}, "symbol", "tolerance *:* exists already: change it instead"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_changes(
    keeper: Client, changes: dict[str, str], field: str, sentence: str
) -> None:
    before = AuditEntry.objects.count()
    errors = errors_of(keeper.post(f"{PLACE}add/", {**FORM, **changes}))
    (name,) = errors
    assert name == field
    assert sentence in errors[name][0]
    assert (ReconciliationTolerance.objects.count(), AuditEntry.objects.count()) == (1, before)


def test_the_tolerance_of_last_resort_stays_switched_on(keeper: Client) -> None:
    errors = errors_of(keeper.post(page_of("*:*"), {name: value for name, value in FORM.items() if name != "enabled"}))
    assert errors == {"enabled": ["tolerance *:*: it is the one of last resort, so it stays switched on"]}
    assert ReconciliationTolerance.objects.get().enabled


def test_venue_and_symbol_of_a_tolerance_are_fixed(keeper: Client) -> None:
    page = keeper.get(page_of("*:*")).content.decode()
    assert 'name="slippage_bps" value="1"' in page
    assert 'name="venue"' not in page and 'name="symbol"' not in page
    keeper.post(page_of("*:*"), {**FORM, "venue": "okx"})
    assert ReconciliationTolerance.objects.get().pk == "*:*"


def test_a_venue_or_symbol_that_the_desk_does_not_have_is_warned_of(keeper: Client) -> None:
    told = words_of(keeper.post(f"{PLACE}add/", {**FORM, "venue": "mars"}, follow=True))
    assert "No instrument of this desk is mars:BTCUSDT, so this tolerance counts only for trades of other" in told
    assert "Venues of this desk: binance" in told
    assert ReconciliationTolerance.objects.filter(pk="mars:BTCUSDT").exists()
    told = words_of(keeper.post(f"{PLACE}add/", {**FORM, "venue": "*"}, follow=True))
    assert "No instrument of this desk" not in told


def test_the_list_tells_which_tolerance_counts_where(client_of: ClientOf) -> None:
    for venue, symbol, bps, enabled in (("binance", "*", 4, True), ("*", "BTCUSDT", 5, True), ("okx", "*", 6, False)):
        kept(venue=venue, symbol=symbol, slippage_bps=Decimal(bps), enabled=enabled)
    page = client_of(ANALYST).get(PLACE)
    counting = {line[0]: (line[1], line[3]) for line in page.context["counting"]}
    assert counting["binance:BTCUSDT"] == ("binance:*", "4")
    assert counting["okx:BTCUSDT"] == ("*:BTCUSDT", "5")
    assert counting["okx:ETHUSDT"] == ("*:*", "1")
    assert "Which tolerance counts where" in words_of(page)


def test_a_new_tolerance_begins_with_the_figures_that_count_there(keeper: Client) -> None:
    kept(venue="binance", slippage_bps=Decimal(4))
    initial = keeper.get(f"{PLACE}add/?venue=binance&symbol=BTCUSDT").context["adminform"].form.initial
    assert (initial["venue"], initial["symbol"], initial["slippage_bps"]) == ("binance", "BTCUSDT", Decimal(4))


def test_every_figure_has_a_help_text_with_its_unit(keeper: Client) -> None:
    told = words_of(keeper.get(f"{PLACE}add/"))
    for words in ("in basis points", "in units of the base asset", "in US dollars", "in milliseconds", "0: none may"):
        assert words in told
