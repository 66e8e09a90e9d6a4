"""Who may do what: three groups of Django's, the only list of them.

    analyst         sees every durable table in the admin and through the API; changes nothing
    staff           what an analyst may, and asks the engine to close a trade; proposals and decisions of reviews are
                    added to this role with their tables
    administrator   what staff may; keeps the settings (venues, instruments, strategies) and the users: makes, changes
                    and retires them, but deletes none

A superuser may give a single member of staff the right to change one kind of settings (`trading.change_strategy`).

`is_staff` is Django's word for "may enter the admin" and is set for all three; the groups decide what is seen there.
Mirrored tables have no permission but `view`, so not even a superuser can be given more.
"""

from collections.abc import Iterable
from typing import Any

from django.apps.registry import Apps
from django.apps.registry import apps as installed
from django.contrib.auth.management import create_permissions
from django.contrib.contenttypes.management import create_contenttypes

ANALYST = "analyst"
STAFF = "staff"
ADMINISTRATOR = "administrator"
ROLES = (ANALYST, STAFF, ADMINISTRATOR)

VIEWED_APPS = ("trading", "results")
SETTINGS = ("venue", "instrument", "strategy")
SETTINGS_KEEPING = frozenset(f"{may}_{kind}" for may in ("add", "change") for kind in SETTINGS)
USER_KEEPING = frozenset({"add_user", "change_user", "view_user", "view_group"})


def may_command(user: Any) -> bool:
    """Whether a user may ask the engine for something: staff, administrators and superusers."""
    return user.is_active and (user.is_superuser or user.groups.filter(name__in=(STAFF, ADMINISTRATOR)).exists())


def grant(apps: Apps = installed, using: str = "default") -> None:
    """Make the groups and give each exactly its permissions, as far as their tables exist; repeating it is harmless.

    A migration that adds a table of a role's concern ends with another call. `apps` is a migration's registry.
    """
    _make_permissions(apps, using)
    permission_model = apps.get_model("auth", "Permission")
    permissions = permission_model.objects.using(using).select_related("content_type")
    viewed = list(permissions.filter(content_type__app_label__in=VIEWED_APPS, codename__startswith="view_"))
    keeping = list(permissions.filter(content_type__app_label="auth", codename__in=USER_KEEPING))
    settings = list(permissions.filter(content_type__app_label="trading", codename__in=SETTINGS_KEEPING))
    group_model = apps.get_model("auth", "Group")
    for role, granted in ((ANALYST, viewed), (STAFF, viewed), (ADMINISTRATOR, viewed + settings + keeping)):
        group, _ = group_model.objects.using(using).get_or_create(name=role)
        group.permissions.set(granted)


def _make_permissions(apps: Apps, using: str) -> None:
    """Django makes permissions after all migrations; inside one they are made here."""
    for label in _present(("auth", *VIEWED_APPS), apps):
        config = installed.get_app_config(label)
        create_contenttypes(config, verbosity=0, using=using, apps=apps)
        create_permissions(config, verbosity=0, using=using, apps=apps)


def _present(labels: Iterable[str], apps: Apps) -> list[str]:
    return [label for label in labels if label in apps.app_configs]
