"""Who may do what: four groups of Django's, the only list of them.

    analyst         sees every durable table in the admin and through the API; changes nothing
    staff           what an analyst may; asks the engine to close a trade; works on cases of review and proposes what
                    becomes of them
    approver        what an analyst may; decides on proposals of other people
    administrator   what staff and approvers may; keeps the settings (venues, instruments, strategies, tolerances) and
                    the users: makes, changes and retires them, but deletes none

Nobody, whatever he may do, decides on his own proposal (`results.domain.review`). A superuser may give a single member
of staff the right to change one kind of settings (`trading.change_strategy`).

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
APPROVER = "approver"
ADMINISTRATOR = "administrator"
ROLES = (ANALYST, STAFF, APPROVER, ADMINISTRATOR)

VIEWED_APPS = ("trading", "results")
SETTINGS = ("venue", "instrument", "strategy", "reconciliationtolerance")
SETTINGS_KEEPING = frozenset(f"{may}_{kind}" for may in ("add", "change") for kind in SETTINGS)
PROPOSE, APPROVE = "propose_review", "approve_review"
USER_KEEPING = frozenset({"add_user", "change_user", "view_user", "view_group"})


def may_command(user: Any) -> bool:
    """Whether a user may ask the engine for something: staff, administrators and superusers."""
    return user.is_active and (user.is_superuser or user.groups.filter(name__in=(STAFF, ADMINISTRATOR)).exists())


def may_propose(user: Any) -> bool:
    """Whether a user may work on cases of review and propose resolutions."""
    return bool(user.is_active and user.has_perm(f"results.{PROPOSE}"))


def may_decide(user: Any) -> bool:
    """Whether a user may decide on proposals of others."""
    return bool(user.is_active and user.has_perm(f"results.{APPROVE}"))


def grant(apps: Apps = installed, using: str = "default") -> None:
    """Make the groups and give each exactly its permissions, as far as their tables exist; repeating it is harmless.

    A migration that adds a table of a role's concern ends with another call. `apps` is a migration's registry.
    """
    _make_permissions(apps, using)
    permission_model = apps.get_model("auth", "Permission")
    permissions = permission_model.objects.using(using).select_related("content_type")
    viewed = list(permissions.filter(content_type__app_label__in=VIEWED_APPS, codename__startswith="view_"))
    keeping = list(permissions.filter(content_type__app_label="auth", codename__in=USER_KEEPING))
    settings = list(permissions.filter(content_type__app_label__in=VIEWED_APPS, codename__in=SETTINGS_KEEPING))
    propose = list(permissions.filter(content_type__app_label="results", codename=PROPOSE))
    approve = list(permissions.filter(content_type__app_label="results", codename=APPROVE))
    group_model = apps.get_model("auth", "Group")
    for role, granted in (
        (ANALYST, viewed),
        (STAFF, viewed + propose),
        (APPROVER, viewed + approve),
        (ADMINISTRATOR, viewed + propose + approve + settings + keeping),
    ):
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
