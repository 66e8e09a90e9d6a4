"""Who may do what, as a table, and that nothing but the login and two probes is open."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.http import HttpResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from paperdesk.environment import BASE_DIR
from paperdesk.roles import (
    ADMINISTRATOR,
    ANALYST,
    APPROVE,
    APPROVER,
    PROPOSE,
    ROLES,
    SETTINGS_KEEPING,
    STAFF,
    USER_KEEPING,
    VIEWED_APPS,
    grant,
)
from results.review_models import AuditEntry
from tests.web.conftest import ANONYMOUS, SUPERUSER
from tests.web.rows import row
from trading.models import PaperTrade

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

ClientOf = Callable[[str], Client]
NOBODY: tuple[str, ...] = ()
EVERYBODY = (ANALYST, STAFF, APPROVER, ADMINISTRATOR, SUPERUSER)
MAKERS = (STAFF, ADMINISTRATOR, SUPERUSER)
KEEPERS = (ADMINISTRATOR, SUPERUSER)

# What one may do: (request, address) -> who may.
TABLE = {
    ("GET", "/admin/"): EVERYBODY,
    ("GET", "/admin/trading/papertrade/"): EVERYBODY,
    ("GET", "/admin/trading/papertrade/add/"): NOBODY,
    ("POST", "/admin/trading/papertrade/add/"): NOBODY,
    ("GET", "/admin/trading/papertrade/{trade}/change/"): EVERYBODY,
    ("POST", "/admin/trading/papertrade/{trade}/change/"): NOBODY,
    ("GET", "/admin/trading/papertrade/{trade}/delete/"): NOBODY,
    ("POST", "/admin/trading/papertrade/{trade}/delete/"): NOBODY,
    ("GET", "/admin/results/tradereconciliation/"): EVERYBODY,
    ("GET", "/admin/trading/papertrade/export/"): NOBODY,
    ("GET", "/admin/results/reviewcase/"): EVERYBODY,
    ("GET", "/admin/results/reviewcase/add/"): NOBODY,
    ("GET", "/admin/results/auditentry/"): EVERYBODY,
    ("GET", "/admin/results/auditentry/add/"): NOBODY,
    ("GET", "/admin/results/deadletter/"): EVERYBODY,
    ("GET", "/admin/results/deadletter/add/"): NOBODY,
    ("GET", "/admin/results/reconciliationtolerance/"): EVERYBODY,
    ("GET", "/admin/results/reconciliationtolerance/add/"): KEEPERS,
    ("GET", "/admin/results/reconciliationtolerance/reconcile/"): MAKERS,
    ("GET", "/admin/trading/strategy/"): EVERYBODY,
    ("GET", "/admin/trading/strategy/add/"): KEEPERS,
    ("GET", "/api/v1/review-cases/"): EVERYBODY,
    ("POST", "/api/v1/review-cases/"): NOBODY,
    ("GET", "/api/v1/reviews/"): EVERYBODY,
    ("POST", "/api/v1/reviews/"): NOBODY,
    ("GET", "/api/v1/audit-entries/"): EVERYBODY,
    ("DELETE", "/api/v1/audit-entries/1/"): NOBODY,
    ("GET", "/api/v1/tolerances/"): EVERYBODY,
    ("POST", "/api/v1/tolerances/"): NOBODY,
    ("GET", "/api/v1/dead-letters/"): EVERYBODY,
    ("GET", "/api/v1/trades/"): EVERYBODY,
    ("POST", "/api/v1/trades/"): NOBODY,
    ("DELETE", "/api/v1/trades/{trade}/"): NOBODY,
    ("GET", "/api/v1/portfolios/"): EVERYBODY,
    ("GET", "/api/docs/"): EVERYBODY,
    ("GET", "/metrics"): EVERYBODY,
    ("GET", "/admin/auth/user/"): KEEPERS,
    ("GET", "/admin/auth/user/add/"): KEEPERS,
    ("GET", "/admin/auth/user/{user}/delete/"): NOBODY,
    ("GET", "/admin/auth/group/"): KEEPERS,
    ("GET", "/admin/auth/group/add/"): NOBODY,
    ("GET", "/admin/authtoken/tokenproxy/"): (SUPERUSER,),
}
OPEN = ("/login/", "/admin/login/", "/healthz", "/readyz")


@pytest.mark.parametrize("role", [ANONYMOUS, *EVERYBODY])
@pytest.mark.parametrize(("method", "address"), TABLE)
def test_each_role_may_do_what_the_table_says(client_of: ClientOf, role: str, method: str, address: str) -> None:
    trade = row(PaperTrade)
    trade.save()
    other = User.objects.create_user("other")
    client = client_of(role)
    answer = client.generic(method, address.format(trade=trade.pk, user=other.pk))
    if role in TABLE[method, address]:
        assert answer.status_code == 200
    else:
        assert refused(answer, anonymous=role == ANONYMOUS), answer
    assert PaperTrade.objects.filter(pk=trade.pk).exists()


def refused(answer: HttpResponse, *, anonymous: bool) -> bool:
    """Whether the request was turned away: not known, not allowed, no such method, or sent to the login."""
    to_login = answer.status_code == 302 and "login/" in answer["Location"]
    return answer.status_code in (401, 403, 405) or (anonymous and to_login)


def test_nothing_but_logins_and_two_probes_answers_an_anonymous_client(client_of: ClientOf) -> None:
    client = client_of(ANONYMOUS)
    walked = sorted(set(addresses(get_resolver())))
    assert len(walked) > 60  # the admin alone has five per table
    codes = {address: client.get(address).status_code for address in walked}
    assert sorted(address for address in walked if codes[address] not in (302, 401, 403, 405)) == sorted(OPEN)
    assert {codes[address] for address in OPEN} == {200}


def addresses(resolver: URLResolver, before: str = "/") -> Iterator[str]:
    """Every address that the patterns describe, with an example for each parameter."""
    for pattern in resolver.url_patterns:
        spelled = before + spell(str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield spelled
        else:
            yield from addresses(pattern, spelled)


def spell(pattern: str) -> str:
    """One address that a route or regular expression matches."""
    example = re.sub(r"<uuid:\w+>", str(uuid.UUID(int=1)), pattern)
    example = re.sub(r"\(\?P<\w+>([^()\\]|\\.)*\)|<[\w:]+>", "1", example)
    return example.replace("\\Z", "").replace("\\.", ".").strip("^$").replace("^", "")


def test_patterns_are_spelled_as_addresses() -> None:
    assert spell("trades/<uuid:pk>/") == "trades/00000000-0000-0000-0000-000000000001/"
    assert spell("user/<id>/password/") == "user/1/password/"
    assert spell(r"^trades/(?P<pk>[^/.]+)/$") == "trades/1/"


GRANTED = {
    ANALYST: set[str](),
    STAFF: {PROPOSE},
    APPROVER: {APPROVE},
    ADMINISTRATOR: {PROPOSE, APPROVE, *SETTINGS_KEEPING, *USER_KEEPING},
}


def granted() -> dict[str, set[str]]:
    """By group, its permissions but those to view a table of trades and results."""
    every = Group.objects.prefetch_related("permissions__content_type")
    return {group.name: {each.codename for each in group.permissions.all() if not is_view(each)} for group in every}


def is_view(permission: Permission) -> bool:
    return permission.codename.startswith("view_") and permission.content_type.app_label in VIEWED_APPS


def test_each_group_has_exactly_its_permissions_and_sees_every_table() -> None:
    grant()
    grant()  # a second time changes nothing
    assert granted() == GRANTED
    views = {each.pk for each in Permission.objects.select_related("content_type") if is_view(each)}
    assert len(views) >= 20
    for group in Group.objects.all():
        assert views <= set(group.permissions.values_list("pk", flat=True))


MIGRATED = """
import json, sys, django
django.setup()
from django.contrib.auth.models import Group
from django.core.management import call_command
call_command("migrate", verbosity=0)
granted = {each.name: sorted(each.permissions.values_list("codename", flat=True)) for each in Group.objects.all()}
print(json.dumps(granted))
"""


def test_a_migrated_database_has_exactly_these_groups_and_permissions(bare_environment: Mapping[str, str]) -> None:
    environment = {**bare_environment, "DJANGO_SETTINGS_MODULE": "paperdesk.settings"}
    command = [sys.executable, "-c", MIGRATED]
    done = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=True)
    grant()
    every = Group.objects.prefetch_related("permissions")
    expected = {group.name: sorted(each.codename for each in group.permissions.all()) for group in every}
    assert set(expected) == set(ROLES)
    assert json.loads(done.stdout) == expected


def test_a_user_without_a_role_sees_nothing_in_admin_and_api(client_of: ClientOf) -> None:
    client = client_of(ANONYMOUS)
    client.force_login(User.objects.create_user("newcomer", is_staff=True))
    assert client.get("/admin/trading/papertrade/").status_code == 403
    assert client.get("/api/v1/trades/").status_code == 403


def test_a_user_who_is_not_staff_is_sent_from_the_admin_to_its_login(client_of: ClientOf) -> None:
    client = client_of(ANONYMOUS)
    client.force_login(User.objects.create_user("visitor"))
    assert client.get("/admin/").status_code == 302


def test_an_administrator_gives_a_role_but_makes_no_superuser(client_of: ClientOf) -> None:
    grant()
    other = User.objects.create_user("other")
    analyst = Group.objects.get(name=ANALYST)
    form = {"username": "other", "is_active": "on", "is_staff": "on", "is_superuser": "on", "groups": analyst.pk}
    dates = {"date_joined_0": "2026-01-31", "date_joined_1": "12:00:00"}
    answer = client_of(ADMINISTRATOR).post(f"/admin/auth/user/{other.pk}/change/", {**form, **dates})
    assert answer.status_code == 302
    other.refresh_from_db()
    assert (list(other.groups.all()), other.is_staff, other.is_superuser) == ([analyst], True, False)


def test_what_an_administrator_does_to_users_is_in_the_audit_trail(client_of: ClientOf) -> None:
    grant()
    client, new = client_of(ADMINISTRATOR), {"password1": "taken over 42", "password2": "taken over 42"}
    client.post("/admin/auth/user/add/", {"username": "zoe", "usable_password": "true", **new})
    zoe, approver = User.objects.get(username="zoe"), Group.objects.get(name=APPROVER)
    address, dates = f"/admin/auth/user/{zoe.pk}", {"date_joined_0": "2026-01-31", "date_joined_1": "12:00:00"}
    form = {"username": "zoe", "is_active": "on", "is_staff": "on", "groups": approver.pk, **dates}
    assert client.post(f"{address}/change/", form).status_code == 302
    assert client.post(f"{address}/password/", {"usable_password": "true", **new}).status_code == 302
    entries = AuditEntry.objects.order_by("number")
    told = [(each.who, each.action, each.subject, json.loads(each.after or "")) for each in entries]
    assert [entry[:3] for entry in told] == [
        (ADMINISTRATOR, "user added", f"user {zoe.pk}"),
        (ADMINISTRATOR, "user changed", f"user {zoe.pk}"),
        (ADMINISTRATOR, "user changed", f"user {zoe.pk}"),
    ]
    after = [entry[3] for entry in told]
    assert [(each["name"], each["roles"], each["staff"]) for each in after[1:]] == [("zoe", [APPROVER], True)] * 2
    assert "Groups" in after[1]["changed"]
    assert after[2]["changed"] == ["password"]


def test_an_administrator_can_neither_change_a_superuser_nor_set_his_password(client_of: ClientOf) -> None:
    superuser = User.objects.create_superuser("root", password="secret of root")
    client = client_of(ADMINISTRATOR)
    address = f"/admin/auth/user/{superuser.pk}"
    new = {"password1": "taken over 42", "password2": "taken over 42", "usable_password": "true"}
    assert client.post(f"{address}/password/", new).status_code == 403
    assert client.post(f"{address}/change/", {"username": "root", "is_active": ""}).status_code == 403
    superuser.refresh_from_db()
    assert superuser.check_password("secret of root") and superuser.is_active


@pytest.mark.parametrize("address", ["/login/", "/admin/login/"])
def test_five_wrong_passwords_lock_the_user_out_and_say_so(client_of: ClientOf, address: str) -> None:
    client = client_of(ANONYMOUS)
    User.objects.create_user("ana", password="correct horse", is_staff=True)
    wrong = {"username": "ana", "password": "wrong"}
    codes = [client.post(address, wrong).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 200, 429]
    locked = client.post(address, {**wrong, "password": "correct horse"})
    assert locked.status_code == 429
    assert "this user name is locked" in locked.content.decode()
    assert client.get("/admin/").status_code == 302  # still not in
    User.objects.create_user("bob", password="battery staple", is_staff=True)
    assert client.post(address, {"username": "bob", "password": "battery staple"}).status_code == 302
