"""The users of a fresh desk."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from paperdesk import roles
from paperdesk.demo_users import ensure_demo_users

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def groups(db: None) -> None:
    """A test that ended by emptying all tables took the migration's groups with it."""
    roles.grant()


def test_a_first_run_makes_a_user_of_each_role_with_working_passwords_in_their_groups(tmp_path: Path) -> None:
    passwords = ensure_demo_users(tmp_path)
    assert list(passwords) == ["analyst", "staff", "approver", "admin"]
    assert len(set(passwords.values())) == 4
    for name, group in zip(passwords, roles.ROLES, strict=True):
        user = User.objects.get(username=name)
        assert user.check_password(passwords[name])
        assert user.is_staff
        assert [found.name for found in user.groups.all()] == [group]
        assert user.is_superuser == (name == "admin")


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    first = ensure_demo_users(tmp_path)
    hashes = list(User.objects.order_by("pk").values_list("password", flat=True))
    assert ensure_demo_users(tmp_path) == first
    assert list(User.objects.order_by("pk").values_list("password", flat=True)) == hashes


def test_the_passwords_are_for_their_owner_only(tmp_path: Path) -> None:
    ensure_demo_users(tmp_path)
    assert (tmp_path / "passwords.txt").stat().st_mode & 0o777 == 0o600


def test_a_user_who_was_there_before_keeps_the_password(tmp_path: Path) -> None:
    User.objects.create_user("staff", password="of-their-own")
    assert list(ensure_demo_users(tmp_path)) == ["analyst", "approver", "admin"]
    assert User.objects.get(username="staff").check_password("of-their-own")
