"""Clients of the web, one per role; the groups exist even after a test that emptied the database."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.test import Client

from paperdesk import roles

ANONYMOUS = "anonymous"
SUPERUSER = "superuser"
PASSWORD = "correct horse"


@pytest.fixture
def user_of(db: None) -> Callable[[str], User]:
    """Makes a user of a role (or a superuser), once per test."""
    roles.grant()

    def make(role: str) -> User:
        if found := User.objects.filter(username=role).first():
            return found
        if role == SUPERUSER:
            return User.objects.create_superuser(role, password=PASSWORD)
        user = User.objects.create_user(role, password=PASSWORD, is_staff=True)
        user.groups.set([Group.objects.get(name=role)])
        return user

    return make


@pytest.fixture
def client_of(user_of: Callable[[str], User]) -> Callable[[str], Client]:
    """Makes a client that is logged in as a role; ANONYMOUS is logged out. Throttles and lock-outs begin at zero."""
    cache.clear()

    def make(role: str) -> Client:
        client = Client()
        if role != ANONYMOUS:
            client.force_login(user_of(role))
        return client

    return make
